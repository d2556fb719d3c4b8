"""The server of the review app: Streamlit with our pages, our routes and settings that are safe."""

from __future__ import annotations

import importlib
import pkgutil
import socket
import threading
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import streamlit as st
from medseg_app import in_use, logs, memory, ui
from medseg_app.routes import middleware, routes
from medseg_app.ui.trouble import tell
from medseg_viewer import asset_folder
from streamlit import config as streamlit_config
from streamlit.cli_util import open_browser

from medseg.core.errors import ConfigError, InputError
from medseg.review.desk import Desk

_HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
_LOCAL_NAMES = [LOOPBACK, "localhost", "::1"]


@dataclass(frozen=True)
class Serving:
    """Where the app listens.

    Attributes:
        port: Of TCP; 0 takes any free one.
        host: Address; other ones than this machine's own need a login.
        opens_browser: Whether to show the app at once, where there is a screen.
        secrets: ``secrets.toml`` with the OpenID client, for a login.
        test: Whether tests may reach into the viewer.
    """

    port: int = 8501
    host: str = LOOPBACK
    opens_browser: bool = True
    secrets: Path = Path("secrets.toml")
    test: bool = False


def serve(desk: Desk, serving: Serving, when_ready: Callable[[str], None]) -> None:
    """Serve the app until it is interrupted.

    Args:
        desk: What it works with.
        serving: Where it listens.
        when_ready: Told the address of the app once it answers.

    Raises:
        InputError: If the port is taken, or others could reach the app without a login.
        ConfigError: If a login is configured and the OpenID client is not.
    """
    logs.redact()
    memory.use_few_pools()
    _load_pages()
    port = _free_port(serving)
    settings = settings_of(desk, serving, port)
    base = str(settings["server.baseUrlPath"])
    url = f"http://{serving.host if _is_own(serving.host) else socket.gethostname()}:{port}/{base}".rstrip("/")

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[None]:
        memory.set_aside()
        when_ready(url)
        if serving.opens_browser and not streamlit_config.get_option("server.headless"):
            threading.Thread(target=open_browser, args=(url,), daemon=True).start()
        yield

    in_use.sit_at(desk, is_test=serving.test)
    try:
        app = st.App(
            _HERE / "main.py",
            routes=routes(desk, base=base, assets=asset_folder(), origins=_origins(desk, serving)),
            middleware=middleware(desk),
            lifespan=lifespan,
            on_script_error=tell,
        )
        app.run(config=settings)
    finally:
        in_use.sit_at(None)


def settings_of(desk: Desk, serving: Serving, port: int) -> dict[str, Any]:
    """Streamlit's settings, by dotted name.

    Raises:
        InputError: If others could reach the app without a login.
        ConfigError: If a login is configured and the OpenID client is not.
    """
    fixed = tomllib.loads((_HERE / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    settings = dict(_flat(fixed))
    settings |= {
        "server.address": serving.host,
        "server.port": port,
        "server.maxUploadSize": desk.config.limits.upload_mb,
        "server.allowedHosts": _LOCAL_NAMES,
        "server.baseUrlPath": "",
        "secrets.files": [str(serving.secrets)],
    }
    if not serving.opens_browser:
        settings["server.headless"] = True
    if desk.config.login is not None:
        public = _public_address(serving.secrets)
        settings["server.allowedHosts"] = [*_LOCAL_NAMES, public.hostname or LOOPBACK]
        settings["server.baseUrlPath"] = public.path.removesuffix("/oauth2callback").strip("/")
    elif not _is_own(serving.host):
        raise InputError(
            f"without a login the app listens on {LOOPBACK} only, got {serving.host!r}; "
            "add a section login to the configuration"
        )
    return settings


def _load_pages() -> None:
    """Import what the pages need, so that nobody waits for it when they open the first one."""
    for module in pkgutil.iter_modules(ui.__path__, f"{ui.__name__}."):
        importlib.import_module(module.name)


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of a tree of tables by their dotted names."""
    leaves: list[tuple[str, Any]] = []
    for name, value in tree.items():
        leaves += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return leaves


def _origins(desk: Desk, serving: Serving) -> tuple[str, ...]:
    """Addresses by which pages are reached through a proxy."""
    if desk.config.login is None:
        return ()
    public = _public_address(serving.secrets)
    return (f"{public.scheme}://{public.netloc}",)


def _public_address(secrets: Path) -> SplitResult:
    """Where browsers reach the app, as the OpenID provider knows it.

    Raises:
        ConfigError: If the client is not there, or not complete.
    """
    try:
        auth = tomllib.loads(secrets.read_text(encoding="utf-8")).get("auth", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read as TOML"
        raise ConfigError(
            f"a login is configured, but {str(secrets)!r} {reason}; it holds the section [auth]"
        ) from error
    needed = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
    missing = [name for name in needed if not auth.get(name)]
    if missing:
        raise ConfigError(f"{str(secrets)!r}: section [auth] lacks {', '.join(missing)}")
    return urlsplit(str(auth["redirect_uri"]))


def _is_own(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _free_port(serving: Serving) -> int:
    """The port that was asked for, or a free one.

    Raises:
        InputError: If somebody listens there, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((serving.host, serving.port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"cannot listen on {serving.host!r}, port {serving.port}: it is taken or not of this machine; "
                "name another --port"
            ) from error
        return int(probe.getsockname()[1])
