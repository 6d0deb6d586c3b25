"""What mappings/README.md says is what the language does."""

import re

import mappings
from gateway import expected, mapping
from gateway.language import mapfile
from gateway.language.steps import CONVERTERS

README = (mappings.FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```yaml\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)


def test_the_first_example_compiles() -> None:
    """As it stands."""
    calls = {"aftersale_axis": lambda value, context: "none"}
    assert mapping.compile_text(BLOCKS[0], place="mappings/taobao/trade.yaml", calls=calls).name == "taobao/trade@3"


def test_the_written_list_compiles() -> None:
    """Inside a customer."""
    body = "version: 1\nconnector: shop\nemit:\n  - record: customer\n    fields:\n" + "".join(
        f"    {line}\n" for line in BLOCKS[1].splitlines()
    )
    assert mapping.compile_text(body, place="mappings/shop/x.yaml").name == "shop/x@1"


def test_the_golden_case_is_in_the_form_of_one() -> None:
    """Its expectations too."""
    for piece in mapfile.read(BLOCKS[2], "README.md").members():
        keys = dict(piece.items())
        if "expect" in keys:
            expected.check(keys["expect"])


def test_the_table_of_converters_names_each_of_them() -> None:
    """And no other."""
    section = README[README.index("| name | gives |") : README.index("- **Tables.**")]
    named = {
        name for row in re.findall(r"^ *\| (`[^|]+) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(CONVERTERS)


def test_every_record_is_named_in_the_example() -> None:
    """In the comment that lists them."""
    line = next(line for line in README.splitlines() if "- record: order" in line)
    assert set(line.partition("#")[2].split()) == set(mapping.RECORDS)
