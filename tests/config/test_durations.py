import pytest

from medseg.config.durations import parse_duration
from medseg.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5min", 90), (" 2 h ", 7200), ("0.25s", 0.25), ("30min", 1800)]
)
def test_spans_of_time(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "0s", "0.0h", "1m", "1 day", "1e3s", "nan s", "1s2s", "1,5h"])
def test_what_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="is no span of time; write a positive number with s, min or h"):
        parse_duration(text)
