"""How long a host got nowhere: deaf, or with an output that nobody acknowledges."""

from streams.progress import Progress


def test_whoever_hears_and_is_acknowledged_gets_on():
    progress = Progress(100.0)
    for second in range(1, 10):
        progress.look(position=second + 1, done=second, waits=True, now_s=100.0 + second)
        assert progress.standstill_s(100.5 + second) == 0.5


def test_whoever_hears_nothing_stands_still():
    progress = Progress(100.0)
    progress.look(position=7, done=7, waits=False, now_s=101.0)
    progress.look(position=7, done=7, waits=False, now_s=109.0)
    assert progress.standstill_s(109.0) == 8.0


def test_an_output_that_is_not_replicated_counts_whatever_else_is_heard():
    progress = Progress(100.0)
    progress.look(position=1, done=0, waits=True, now_s=100.0)
    for second in range(1, 6):
        progress.look(position=1 + second, done=0, waits=True, now_s=100.0 + second)
    assert progress.standstill_s(105.0) == 5.0
    progress.look(position=7, done=7, waits=False, now_s=106.0)
    assert progress.standstill_s(106.0) == 0.0


def test_inputs_without_outputs_are_no_standstill():
    """As after a restart, while what lies before the mark is computed in silence."""
    progress = Progress(100.0)
    for second in range(1, 10):
        progress.look(position=second, done=0, waits=False, now_s=100.0 + second)
    assert progress.standstill_s(109.0) == 0.0
