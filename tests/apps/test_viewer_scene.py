"""What the viewer is told, and what it tells."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from factories import geometry
from medseg_viewer import (
    HEAT,
    Click,
    Jump,
    Ready,
    SavedMask,
    SceneMark,
    SceneOverlay,
    ViewerEvents,
    WindowPreset,
    assets,
    script_name,
)
from medseg_viewer.events import read_events
from viewer_page import SHAPE, STRUCTURES, overlays, scene_of

from medseg.core.errors import InputError

_SHA = "0f" * 32


def scene(**changes):
    return scene_of(geometry(SHAPE, (1.5, 1.5, 2.5), "LPS"), **changes)


def test_a_scene_is_json_and_its_urls_are_under_the_base():
    full = scene(overlays=overlays(), jump=Jump((1, 2, 3), "n"), marks=(SceneMark((1, 2, 3), inside=True),))
    tree = json.loads(json.dumps(full.as_json("hospital/review/")))
    assert tree["image_url"] == "/hospital/review/voxels/image"
    assert tree["original_url"] == ""
    heat = tree["overlays"][1]
    assert (heat["name"], heat["colours"], heat["opacity"], heat["legend"]) == (
        "Uncertainty",
        HEAT,
        0.6,
        ["certain", "unsure"],
    )
    assert tree["overlays"][0]["url"] == "/hospital/review/voxels/labels"
    assert tree["jump"] == {"voxel": [1, 2, 3], "nonce": "n"}
    assert scene().as_json()["image_url"] == "/voxels/image"


@pytest.mark.parametrize("url", ["https://elsewhere.example/x", "//elsewhere.example/x", "x", "/\\elsewhere.example"])
@pytest.mark.parametrize("field", ["image_url", "mask_url", "slice_url", "original_url"])
def test_no_url_leads_off_our_server(url, field):
    with pytest.raises(ValueError, match="a path on the app's own server"):
        scene(**{field: url})


def test_nor_one_of_an_overlay():
    with pytest.raises(ValueError, match="a path on the app's own server"):
        scene(overlays=(SceneOverlay("x", "https://elsewhere.example", HEAT),))


def test_values_are_bytes_and_different():
    with pytest.raises(ValueError, match="different values from 1 to 255, got 256"):
        scene(structures=(replace(STRUCTURES[0], value=256),))
    with pytest.raises(ValueError, match="different values from 1 to 255, got 1"):
        scene(structures=(STRUCTURES[0], STRUCTURES[0]))


@pytest.mark.parametrize("key", ["b", "B", "r", "7", " ", "escape"])
def test_a_preset_takes_no_key_that_is_taken(key):
    with pytest.raises(ValueError, match="is taken; choose another one"):
        scene(presets=(WindowPreset("x", 0, 1, key),))


def test_two_presets_have_two_keys():
    with pytest.raises(ValueError, match="the key 'shift\\+1' is taken"):
        scene(presets=(WindowPreset("x", 0, 1, "Shift+1"), WindowPreset("y", 0, 2, "shift+1")))


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0, float("nan"))])
def test_a_window_is_open(window):
    with pytest.raises(ValueError, match="from a value to a greater one"):
        scene(window=window)


@pytest.mark.parametrize("codes", ["LP", "LPL", "XYZ", ""])
def test_an_orientation_has_three_letters(codes):
    with pytest.raises(ValueError, match="three letters such as 'LPS'"):
        scene(orientation=codes)


def test_events_are_read():
    told = {
        "saved": {"sequence": 3, "sha256": _SHA},
        "clicked": {"voxel": [1, 2, 3], "inside": False},
        "changed": True,
        "ready": {"ms": 812.4, "webgl2": True},
        "location": [4, 5, 6],
        "error": "x" * 999,
    }
    assert read_events(told) == ViewerEvents(
        saved=SavedMask(3, _SHA),
        clicked=Click((1, 2, 3), inside=False),
        changed=True,
        ready=Ready(812, webgl2=True),
        location=(4, 5, 6),
        error="x" * 300,
    )


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"saved": {"sequence": 0, "sha256": _SHA}},
        {"saved": {"sequence": 3, "sha256": "../../etc"}},
        {"saved": [3, _SHA]},
        {"clicked": {"voxel": [1, 2], "inside": True}},
        {"clicked": {"voxel": [1, 2, -3], "inside": True}},
        {"clicked": {"voxel": [1, 2, True], "inside": True}},
        {"changed": "yes", "location": "here", "error": 3, "ready": {"ms": -1, "webgl2": True}},
        {"location": [1.5, 2, 3]},
    ],
)
def test_what_is_not_an_event_was_not_said(told):
    assert read_events(told) == ViewerEvents()


def test_a_viewer_that_is_not_built_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    with pytest.raises(InputError, match="run 'python -m medseg_viewer.build'"):
        script_name()
    (tmp_path / "viewer-0123.js").touch()
    assert script_name() == "viewer-0123.js"
