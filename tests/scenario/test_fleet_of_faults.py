"""Eight agents with faults of all kinds, in short: python -m bench.fleet has the long form."""

import pytest

from bench.fleet import __main__ as bench


@pytest.mark.slow
def test_a_fleet_of_faults_loses_nothing_and_leaves_nothing(capsys):
    assert bench.main(["8", "0.7"]) == 0, capsys.readouterr().out
