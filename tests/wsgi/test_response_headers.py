"""What becomes of the headers that an application gives."""

from __future__ import annotations

import re

import pytest
from raw_client import get
from wsgi_site import Site

uses = pytest.mark.uses


@uses("latin1_headers")
def test_headers_are_latin_1_in_both_directions(site: Site) -> None:
    every_byte = "".join(chr(code) for code in range(0xA1, 0x100))
    response = site.get("latin1_headers", ("X-Echo", every_byte))
    assert response.header("X-Echo") == every_byte
    assert response.header("X-Own") == "caf\xe9"


@uses("repeated_headers")
def test_repeated_headers_are_sent_each_in_their_order(site: Site) -> None:
    response = site.get()
    assert response.all("Set-Cookie") == ["a=1", "b=2", "c=3"]


@uses("repeated_headers")
def test_header_names_are_spelled_as_written_or_in_title_case(site: Site) -> None:
    names = [name for name, _ in site.get().headers if name.lower() == "set-cookie"]
    assert names in (["Set-Cookie", "Set-Cookie", "sEt-cOOkie"], ["Set-Cookie"] * 3)


@uses("hop_by_hop")
def test_hop_by_hop_headers_of_the_application_are_dropped_with_one_warning(site: Site) -> None:
    connection = site.connect()
    for _ in range(3):
        connection.send(get(site.target()))
        response = connection.response()
        assert (response.body, response.header("X-End")) == (b"body", "end")
        assert response.header("Connection") is None
        assert response.header("Transfer-Encoding") in (None, "chunked")
        for name in ("Keep-Alive", "Upgrade", "TE"):
            assert response.header(name) is None, name
    warnings = re.findall(r".*WARN.*keep-alive.*", site.whole_log(), re.IGNORECASE)
    assert len(warnings) == 1


@uses("own_date_and_server")
def test_the_application_s_own_date_and_server_are_kept(site: Site) -> None:
    response = site.get()
    assert response.header("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert response.header("Server") == "Teapot/1.0"


@pytest.mark.parametrize("kind", ["tuple", "generator"])
@uses("headers_in_other_containers")
def test_headers_may_come_in_another_iterable_than_a_list(site: Site, kind: str) -> None:
    response = site.get(type=kind)
    assert (response.status, response.header("X-One"), response.header("X-Two")) == (200, "1", "2")


@pytest.mark.parametrize(
    "name",
    ["", "Bad Name", "Bad:Name", "Bad\r\nInjected", "Bad\nInjected", "B\xe4d", "Bad\t", "Bad\0", "(bad)", 'b"ad'],
)
@uses("any_header")
def test_a_malformed_header_name_is_an_error(site: Site, name: str) -> None:
    response = site.get(name=name, value="value")
    assert (response.status, response.header("Injected")) == (500, None)


@pytest.mark.parametrize(
    "value", ["a\r\nInjected: yes", "a\nInjected: yes", "a\rInjected: yes", "a\0b", "a\x1fb", "a\x7fb"]
)
@uses("any_header")
def test_a_header_value_with_control_characters_is_an_error(site: Site, value: str) -> None:
    response = site.get(name="X-Name", value=value)
    assert (response.status, response.header("Injected"), response.header("X-Name")) == (500, None, None)


@pytest.mark.parametrize("value", ["", "a\tb", "a  b", '"quoted"', "caf\xe9", "\xff"])
@uses("any_header")
def test_any_other_header_value_is_sent_as_it_is(site: Site, value: str) -> None:
    response = site.get(name="X-Name", value=value)
    assert (response.status, response.header("X-Name")) == (200, value)


@pytest.mark.parametrize("kind", ["bytes name", "bytes value", "int value", "None value", "euro", "triple", "no pair"])
@uses("header_of_wrong_type")
def test_a_header_that_is_no_pair_of_latin_1_strings_is_an_error(site: Site, kind: str) -> None:
    response = site.get(type=kind)
    assert (response.status, response.header("X-Name")) == (500, None)


@pytest.mark.parametrize("length", ["abc", "-5", "+5", "5, 5", "0x5", "", "1_0", "99999999999999999999999"])
@uses("with_length")
def test_a_malformed_content_length_of_the_application_is_an_error(site: Site, length: str) -> None:
    assert site.get(length=length).status == 500


@uses("two_lengths")
def test_two_content_lengths_of_the_application_are_an_error(site: Site) -> None:
    assert site.get().status == 500
