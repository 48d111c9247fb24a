import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import yaml

from fac_lab.display import theme
from fac_lab.display.saving import PLOTLY_JS, find_browser, save_figure
from fac_lab.errors import SettingsError

PAYLOAD = "</script><script>document.title='broken'</script><b>x</b>"


def drawn(colour: str = "#ff0000") -> go.Figure:
    bars = go.Bar(x=["a", "b"], y=[0.123456, 2], marker_color=colour, name=PAYLOAD, hovertext=[PAYLOAD, ""])
    return theme.styled(go.Figure(bars), f"a title {PAYLOAD}", height=300)


@pytest.fixture
def no_browser(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def pixels(picture: Path) -> tuple[int, int, set[bytes]]:
    """Width, height and every colour of an 8-bit RGB PNG, its checksums held true."""
    data, at, packed = picture.read_bytes(), 8, b""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunk = data[at + 4 : at + 8 + length]
        assert struct.pack(">I", zlib.crc32(chunk)) == data[at + 8 + length : at + 12 + length]
        if chunk.startswith(b"IHDR"):
            width, height, depth, kind = struct.unpack(">IIBB", chunk[4:14])
        packed += chunk[4:] if chunk.startswith(b"IDAT") else b""
        at += 12 + length
    assert (depth, kind) == (8, 2)
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    seen, above = set(), np.zeros((width + 1, 3), int)
    for kind, rest in zip(lines[:, 0], lines[:, 1:].reshape(height, width, 3).astype(int), strict=True):
        line = np.zeros((width + 1, 3), int)
        for i, value in enumerate(rest, 1):
            left, up, corner = line[i - 1], above[i], above[i - 1]
            if kind == 4:
                guess = np.stack([left, up, corner])
                near = np.abs(guess - (left + up - corner)).argmin(axis=0)
                line[i] = value + guess[near, range(3)]
            else:
                line[i] = value + (0, left, up, (left + up) // 2)[kind]
            line[i] &= 255
        seen |= {bytes(pixel) for pixel in line[1:].astype(np.uint8)}
        above = line
    return width, height, seen


def test_a_page_that_opens_by_itself(tmp_path, no_browser):
    (page,) = save_figure(drawn(), "fig_1-a", folder=tmp_path / "new")
    assert page == tmp_path / "new" / "fig_1-a.html"
    html = page.read_text(encoding="utf-8")
    assert "0.123456" in html and "Plotly.newPlot" in html and len(html) < 50_000
    assert f'src="{PLOTLY_JS}"' in html and (page.parent / PLOTLY_JS).stat().st_size > 1_000_000
    assert "http" not in html, "nothing is fetched"
    assert PAYLOAD not in html and html.count("<script") == 2
    assert not [path for path in page.parent.iterdir() if path.name.startswith(".")]


def test_the_same_figure_is_the_same_page(tmp_path, no_browser):
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    pages = [
        save_figure(figure, "x", folder=folder)[0].read_bytes()
        for figure, folder in ((drawn(), first), (drawn(), second), (drawn("#00ff00"), other))
    ]
    assert pages[0] == pages[1] != pages[2]


def test_the_figure_given_stays_as_it_was(tmp_path, no_browser):
    figure = drawn()
    before = figure.to_json()
    save_figure(figure, "x", folder=tmp_path)
    assert figure.to_json() == before


@pytest.mark.slow
@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")
def test_a_picture_of_the_page(tmp_path):
    page, picture = save_figure(drawn(), "x", folder=tmp_path, width=300)
    width, height, colours = pixels(picture)
    assert (width, height) == (300, 300)
    assert {b"\xff\x00\x00", b"\xff\xff\xff"} <= colours, "bars on white"
    page.unlink()  # as in a fresh clone: pictures are committed, pages are not
    drawn_at = picture.stat().st_mtime_ns
    assert save_figure(drawn(), "x", folder=tmp_path, width=300) == [page, picture] and page.exists()
    assert picture.stat().st_mtime_ns == drawn_at, "what it shows is not drawn again"
    save_figure(drawn("#00ff00"), "x", folder=tmp_path, width=300)
    assert b"\x00\xff\x00" in pixels(picture)[2]


def test_without_a_browser_a_picture_of_another_figure_is_not_returned(tmp_path, no_browser):
    picture = tmp_path / "x.png"
    picture.write_bytes(b"\x89PNG of another run")
    assert save_figure(drawn(), "x", folder=tmp_path) == [tmp_path / "x.html"]
    assert picture.exists(), "it may be a committed one"


@pytest.mark.parametrize("script", ["exit 0", "exit 3"])
def test_a_browser_that_draws_nothing(tmp_path, monkeypatch, caplog, script):
    browser = tmp_path / "bin" / "chromium"
    browser.parent.mkdir()
    browser.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    browser.chmod(0o700)
    monkeypatch.setenv("PATH", f"{browser.parent}{os.pathsep}/bin")
    assert save_figure(drawn(), "x", folder=tmp_path) == [tmp_path / "x.html"]
    assert "no PNG of figure x: chromium" in caplog.text


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".x", "-x", "x.png", "X", "x\n", "ä", "a" * 81])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(SettingsError, match=re.escape(repr(name))):
        save_figure(drawn(), name, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_width(tmp_path):
    with pytest.raises(SettingsError, match="figure x: a picture 0 pixels wide"):
        save_figure(drawn(), "x", folder=tmp_path, width=0)


def test_the_profile_in_force_decides_where(tmp_path, monkeypatch, no_browser):
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"extends": "mini", "name": "own"}), encoding="utf-8")
    home = tmp_path / "home"
    monkeypatch.setenv("FAC_LAB_HOME", str(home))
    assert save_figure(drawn(), "x") == [] and not home.exists(), "the tests run in the profile smoke"
    for profile, folder in (("mini", "figures"), (str(own), "runs/own/figures")):
        monkeypatch.setenv("FAC_LAB_PROFILE", profile)
        assert save_figure(drawn(), "x") == [home / folder / "x.html"]
