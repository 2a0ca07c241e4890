"""Which addresses are fetched, as somebody who wants another would write them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from pydantic import ValidationError

from api.image_urls import AllowedHosts, is_public, is_url
from saft_core.errors import InvalidImage
from saft_core.settings import Settings

SETTING = "images.example.com, *.cdn.example.com http://old.example.com:8080,https://port.example.com:8443"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "169.254.169.254", "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "fc00::1", "fd00:ec2::254",
        "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "3fff::1", "2001:1::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_in_the_public_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1", "2a00:1450:4001::1"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://images.example.com/a.png?x=1#y", "images.example.com", 443),
        ("HTTPS://IMAGES.Example.com:443/", "images.example.com", 443),
        ("https://a.cdn.example.com/a", "a.cdn.example.com", 443),
        ("https://a.b.cdn.example.com/a", "a.b.cdn.example.com", 443),
        ("http://old.example.com:8080/", "old.example.com", 8080),
        ("https://port.example.com:8443/", "port.example.com", 8443),
    ],
)
def test_hosts_that_are_named(url: str, host: str, port: int) -> None:
    target = AllowedHosts(SETTING).target(url)
    assert (target.host, target.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example.com/",
        "https://images.example.com:8443/",
        "https://images.example.com./",
        "https://evil-images.example.com/",
        "https://images.example.com.evil.org/",
        "https://cdn.example.com/",
        "https://evilcdn.example.com/",
        "https://.cdn.example.com.evil.org/",
        "https://old.example.com:8080/",
        "http://old.example.com/",
        "http://2130706433/",
        "http://0x7f.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://evil.org/images.example.com",
        "https://evil.org#@images.example.com/",
        "https://evil.org?@images.example.com/",
        "https://ımages.example.com/",
        "https://xn--mages-uza.example.com/",
    ],
)
def test_other_hosts_are_not_visited(url: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        AllowedHosts(SETTING).target(url)
    assert caught.value.error_code == "host_not_allowed"


@pytest.mark.parametrize(
    "url",
    [
        "https://user@images.example.com/",
        "https://user:password@images.example.com/",
        "https://images.example.com:443@evil.org/",
        "https://images.example.com\\@evil.org/",
        "https://images.example.com\r\nHost: evil.org/",
        "https://images.example.com:99999/",
        "https://images.example.com:x/",
        "https:///a.png",
        "https://",
        "https://[::1/",
        "https://images.example.com/" + "x" * 2000,
    ],
)
def test_addresses_that_mean_nothing_good(url: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        AllowedHosts(SETTING).target(url)
    assert caught.value.error_code in {"invalid_url", "host_not_allowed"}


def test_without_the_setting_no_host_is() -> None:
    with pytest.raises(InvalidImage, match="SAFT_IMAGE_URLS") as caught:
        AllowedHosts("").target("https://images.example.com/")
    assert caught.value.error_code == "urls_not_taken"


def test_what_is_an_address_and_what_is_base64() -> None:
    assert is_url("https://a")
    assert is_url("HTTP://a")
    for text in ("", "httpa", "data:image/png;base64,eA==", "ftp://a", "file:///etc/passwd", " https://a"):
        assert not is_url(text)


@pytest.mark.parametrize(
    "setting", ["*", "*.", "https://", "a b/c", "user@host", "a..b", "ftp://a", "a:0", "a*b.c", "[::1]"]
)
def test_a_setting_that_names_no_host_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(ValidationError, match="is no host"):
        Settings(image_urls=setting)


def test_the_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFT_IMAGE_URLS", SETTING)
    assert AllowedHosts(Settings().image_urls).target("https://a.cdn.example.com/").port == 443
