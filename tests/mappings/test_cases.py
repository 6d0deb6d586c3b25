"""Every mapping of the house is sound and does to its golden cases what they say."""

import pytest

import mappings
from connectors.registry import CARDS
from gateway import cases, mapping

RESULTS = cases.run_cases(mappings.FOLDER, CARDS.values())


def test_every_mapping_is_sound_and_has_cases_and_every_mapped_topic_has_its_file() -> None:
    """What ``gateway check`` says of the files in the repository: nothing."""
    assert [str(fault) for fault in cases.check_all(mappings.FOLDER, CARDS.values())] == []


@pytest.mark.parametrize("result", RESULTS, ids=[f"{result.mapping}: {result.name}" for result in RESULTS])
def test_a_golden_case_holds(result: cases.Result) -> None:
    """Each difference is told with its place in the cases file."""
    assert result.faults == ()


def test_cases_of_one_mapping_have_names_of_their_own() -> None:
    """A failing case is found by its name."""
    names = [(result.mapping, result.name) for result in RESULTS]
    assert len(names) == len(set(names))


def test_every_canonical_record_is_spoken_of_by_some_mapping() -> None:
    """A noun that nothing fills would be a promise without a proof."""
    texts = [file.read_text(encoding="utf-8") for file in mappings.FOLDER.glob("*/*.yaml")]
    unspoken = [kind for kind in mapping.RECORDS if not any(f"record: {kind}" in text for text in texts)]
    assert unspoken in ([], ["stock"])
