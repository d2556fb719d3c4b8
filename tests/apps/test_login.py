"""Signing in with a real OpenID provider, in a real browser; and where the app listens."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("streamlit")

from app_server import running_app
from browsers import TIMEOUT_MS, running_browser
from case_factories import config_of, folder_source
from medseg_app.app import Serving, settings_of
from oidc_provider import running_provider

from medseg.config.review import LoginSection, Role
from medseg.core.errors import ConfigError, InputError
from medseg.review.desk import open_desk

ANN, AMY, EVE = "Ann@clinic.example", "amy@clinic.example", "eve@elsewhere.example"
LOGIN = LoginSection(readers={"ann@clinic.example": Role.READER, "*@clinic.example": Role.ADMIN})


@pytest.fixture
def config(tmp_path):
    (tmp_path / "app").mkdir()
    return config_of(
        folder_source(tmp_path / "data"), folder=tmp_path / "review", key=tmp_path / "project.key", login=LOGIN
    )


@pytest.fixture
def provider():
    with running_provider(ANN, AMY, EVE) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with running_browser() as started:
        yield started


@pytest.fixture
def app(config, provider, tmp_path):
    port = free_port()
    secrets = tmp_path / "app" / "secrets.toml"
    secrets.write_text(provider.secrets_toml(f"http://127.0.0.1:{port}"))
    with running_app(config, tmp_path / "app", port) as running:
        yield running


def free_port():
    import socket

    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


def sign_in(context, app, address):
    """A page of somebody who went through the provider."""
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(app.url)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=address).click()
    page.wait_for_url(f"{app.url}/**")
    return page


def log_of(config):
    with closing(sqlite3.connect(config.folder / "review.sqlite")) as database:
        return database.execute("SELECT act, who, role FROM review_audit ORDER BY number").fetchall()


@pytest.mark.browser
def test_people_sign_in_and_see_what_their_role_allows(app, browser, config):
    with browser.new_context() as anns, browser.new_context() as amys:
        ann = sign_in(anns, app, ANN)
        ann.get_by_text("ann@clinic.example, reader").wait_for()
        assert ann.get_by_role("link", name="Audit").count() == 0
        amy = sign_in(amys, app, AMY)
        amy.get_by_text("amy@clinic.example, admin").wait_for()
        amy.get_by_role("link", name="Audit").wait_for()
        ann.get_by_role("button", name="Sign out").click()
        ann.get_by_role("button", name="Sign in").wait_for()
        assert amy.get_by_role("link", name="Audit").count() == 1
    signed_in = [entry for entry in log_of(config) if entry[0] == "signed in"]
    assert {entry[1:] for entry in signed_in} == {("ann@clinic.example", "reader"), ("amy@clinic.example", "admin")}


@pytest.mark.browser
def test_strangers_are_refused_politely_and_noted(app, browser, config, provider):
    with browser.new_context() as context:
        page = sign_in(context, app, EVE)
        page.get_by_text(f"{EVE} is not among the people who may review here.").wait_for()
        assert page.get_by_text(re.compile("case-")).count() == 0
        assert page.get_by_role("link", name="Work list").count() == 0
        page.goto(f"{app.url}/audit")
        page.get_by_text("is not among the people").wait_for()
    assert ("refused", EVE, "reader") in log_of(config)
    provider.claims["email_verified"] = False
    with browser.new_context() as context:
        sign_in(context, app, AMY).get_by_text("is not among the people").wait_for()
    assert not provider.refused


def test_without_a_login_nobody_else_may_reach_the_app(config):
    with open_desk(config.model_copy(update={"login": None})) as desk:
        assert settings_of(desk, Serving(), 1)["server.address"] == "127.0.0.1"
        local = settings_of(desk, Serving(host="localhost"), 1)
        assert local["server.allowedHosts"] == ["127.0.0.1", "localhost", "::1"]
        for host in ("0.0.0.0", "::", "review.clinic.example"):  # noqa: S104 - this is what is refused
            with pytest.raises(InputError, match="add a section login"):
                settings_of(desk, Serving(host=host), 1)


def test_a_login_needs_an_openid_client(config, tmp_path):
    secrets = tmp_path / "secrets.toml"
    with open_desk(config) as desk:
        with pytest.raises(ConfigError, match="is not there; it holds the section"):
            settings_of(desk, Serving(secrets=secrets), 1)
        secrets.write_text("[auth")
        with pytest.raises(ConfigError, match="cannot be read as TOML"):
            settings_of(desk, Serving(secrets=secrets), 1)
        secrets.write_text('[auth]\nclient_id = "x"\nredirect_uri = "https://x.example/oauth2callback"\n')
        with pytest.raises(ConfigError, match="lacks cookie_secret, client_secret, server_metadata_url"):
            settings_of(desk, Serving(secrets=secrets), 1)


def test_the_app_knows_the_address_that_browsers_use(config, provider, tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(provider.secrets_toml("https://review.clinic.example/reading"))
    with open_desk(config) as desk:
        settings = settings_of(desk, Serving(host="0.0.0.0", secrets=secrets), 8501)  # noqa: S104
    assert settings["server.allowedHosts"][-1] == "review.clinic.example"
    assert settings["server.baseUrlPath"] == "reading"
    assert settings["secrets.files"] == [str(secrets)]


def test_settings_are_safe_and_known_to_streamlit(config):
    from streamlit import config as streamlit_config

    with open_desk(config.model_copy(update={"login": None})) as desk:
        settings = settings_of(desk, Serving(port=8502), 8502)
    assert set(settings) <= set(streamlit_config._config_options_template)
    expected = {
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.allowedOrigins": [],
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 2048,
        "server.port": 8502,
    }
    assert expected.items() <= settings.items()
