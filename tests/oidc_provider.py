"""A small OpenID provider on this machine: discovery, authorization with PKCE, tokens, keys. For tests of the login."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "medseg-tests"
CLIENT_SECRET = "not a secret, only this machine hears it"  # noqa: S105


@dataclass
class Provider:
    """What it knows; ``claims`` are those of whoever signs in next, beside their address."""

    url: str = ""
    claims: dict[str, object] = field(default_factory=lambda: {"email_verified": True})
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "tests", "use": "sig"}))
    grants: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @property
    def metadata_url(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    def secrets_toml(self, app_url: str) -> str:
        """What stands in ``secrets.toml`` of an app that trusts this provider."""
        fields = {
            "redirect_uri": f"{app_url}/oauth2callback",
            "cookie_secret": secrets.token_hex(32),
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "server_metadata_url": self.metadata_url,
        }
        return "[auth]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())

    def metadata(self) -> dict[str, object]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        }

    def approve(self, asked: dict[str, str], email: str) -> str:
        """Where the browser goes after somebody signed in: back to the app, with a code that is good once."""
        code = secrets.token_urlsafe(24)
        self.grants[code] = {**asked, "email": email}
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    def exchange(self, form: dict[str, str], authorization: str) -> dict[str, object] | None:
        """Tokens for a code; None, and why in ``refused``, if anything about the request is not as it must be."""
        grant = self.grants.pop(form.get("code", ""), None)
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        checks = {
            "code": grant is not None,
            "client": authorization == expected,
            "verifier": grant is not None and grant.get("code_challenge") == challenge,
            "redirect": grant is not None and grant["redirect_uri"] == form.get("redirect_uri"),
        }
        self.refused += [name for name, is_good in checks.items() if not is_good]
        if grant is None or not all(checks.values()):
            return None
        return {
            "access_token": secrets.token_urlsafe(24),
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": self._id_token(grant),
        }

    def _id_token(self, grant: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": grant["email"],
            "email": grant["email"],
            "iat": now,
            "exp": now + 3600,
            "nonce": grant.get("nonce", ""),
            **self.claims,
        }
        return jwt.encode({"alg": "RS256", "kid": "tests"}, claims, self.key)


@contextlib.contextmanager
def running_provider(*addresses: str) -> Iterator[Provider]:
    """A provider whose sign-in page lets one be any of ``addresses``."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            match parts.path:
                case "/.well-known/openid-configuration":
                    _answer_json(self, provider.metadata())
                case "/jwks":
                    _answer_json(self, {"keys": [provider.key.as_dict(private=False)]})
                case "/authorize":
                    _answer(self, 200, "text/html", _sign_in_page(addresses, parts.query))
                case "/approve" if asked["email"] in addresses:
                    _redirect(self, provider.approve(asked, asked["email"]))
                case _:
                    _answer(self, 404, "text/plain", "nothing here")

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {name: values[-1] for name, values in parse_qs(body).items()}
            tokens = provider.exchange(form, self.headers.get("Authorization", ""))
            _answer_json(self, tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer_json(handler: BaseHTTPRequestHandler, content: object, status: int = 200) -> None:
    _answer(handler, status, "application/json", json.dumps(content))


def _answer(handler: BaseHTTPRequestHandler, status: int, kind: str, text: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(text.encode())))
    handler.end_headers()
    handler.wfile.write(text.encode())


def _redirect(handler: BaseHTTPRequestHandler, url: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", url)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _sign_in_page(addresses: tuple[str, ...], query: str) -> str:
    links = (
        f'<p><a href="/approve?{query}&{urlencode({"email": one})}">{one}</a></p>'.replace("&", "&amp;")
        for one in addresses
    )
    return "<!doctype html><title>Sign in</title><h1>Who are you?</h1>" + "".join(links)
