"""The figures of ``bench/``: their arithmetic, and that the ones that open the gateway's parts in process still find them as they expect."""

import pytest

from bench import deliver, fan_out, figure, grants, hl7_map, load, made, report, route, sealing, statements, trade_map
from bench.figure import Scale

GLANCE = Scale(rounds=1, size=0.001)


@pytest.mark.parametrize("module", [deliver, fan_out, grants, hl7_map, route, sealing, statements, trade_map])
def test_an_in_process_figure_measures_something(module, monkeypatch):
    """A figure that no longer fits the gateway fails here, not on the day somebody wants to know."""
    # To open some hundred connections takes seconds, and a glance sees no more by them.
    monkeypatch.setattr(fan_out, "_MOST", 60)
    figures = module.measure(GLANCE)
    assert figures
    assert all(one.ours.median > 0 and one.judged.median > 0 for one in figures)


def test_ratio_is_taken_round_by_round():
    """Each round's own baseline is what it is judged by."""
    one = figure.ratio("x", "", "/s", [(50, 100), (30, 40), (10, 100)], against="y", floor=0.4, aim=0.6)
    assert one.judged.rounds == (0.5, 0.75, 0.1)
    assert (one.judged.median, one.holds, one.aimed) == (0.5, True, False)


def test_time_is_better_when_it_is_less():
    """A floor of a duration is an upper bound, and a ratio of durations says how many times faster ours is."""
    assert figure.plain("x", "", "ms", [60.0], floor=50, aim=20, best="low").holds is False
    assert figure.ratio("x", "", "µs", [(10, 100)], against="y", floor=8, over=True).judged.median == 10


def test_figure_without_floor_only_informs():
    """It is neither held nor missed."""
    one = figure.plain("x", "", "/s", [1.0])
    assert one.holds is None
    assert report.verdict(one) == "–"


def test_failed_requests_have_no_rate():
    """A server that refuses quickly must not look fast."""
    with pytest.raises(RuntimeError, match="1 of 2 requests failed"):
        _ = load.Tally(done=2, failed=1, took=1.0).rate


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\no", None),
        (b"HTTP/1.1 202 Acc", None),
    ],
)
def test_http_answer_is_judged_when_it_is_whole(answer, said):
    """Whole and 2xx, whole and anything else, or not yet whole."""
    assert load.http(answer) is said


def test_mllp_answer_counts_only_when_it_accepts():
    """AE and AR are failures."""
    assert load.mllp(b"\x0bMSH|^~\\&|\rMSA|AA|1\r\x1c\r") is True
    assert load.mllp(b"\x0bMSH|^~\\&|\rMSA|AE|1\r\x1c\r") is False
    assert load.mllp(b"\x0bMSH|") is None


def test_order_is_known_again_by_its_number():
    """What the sink matches deliveries by."""
    assert made.number_of(b'{"data":{"order":{"external_id":"B0000000042","x":1}}}') == 42
    assert made.number_of(b'{"data":{"customer":{}}}') == -1


def test_waits_have_percentiles_in_milliseconds():
    """From seconds."""
    assert load.percentile([0.001 * number for number in range(1, 101)], 0.99) == pytest.approx(100)
    assert load.percentile([], 0.99) == 0
