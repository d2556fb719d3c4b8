import json
import re

from score_factories import MODELS_QUICK as QUICK
from score_factories import both_empty, model, score_row
from score_factories import model_rows as rows

from medseg.evaluation.as_json import json_text
from medseg.evaluation.comparison import compare_models
from medseg.evaluation.comparison_json import comparison_json, console_rows, difference_rows
from medseg.evaluation.comparison_report import comparison_page

EVIL = "<img src=x onerror=alert(1)>"


def compared(*models, scores=("dice", "hd95")):
    return compare_models(models or (model("A", rows()), model("B", rows(0.1))), scores, QUICK)


def test_the_page_of_two_models():
    page = comparison_page(compared())
    assert re.findall("<h2>(.*?)</h2>", page) == ["Differences", "Dice of every case", "Settings"]
    assert "A and B: 12 cases in common." in page
    sentence = (
        r"Mean foreground Dice of B is 0\.\d{3} higher than that of A, 95 % confidence interval of the difference"
    )
    assert re.search(rf"{sentence} 0\.\d+ to 0\.\d+ \(p (=|&lt;) 0\.\d+\): more than chance explains\.", page)
    assert page.count("better is to the right") == 2  # title of the drawing, and words on it
    assert page.count("better is to the left") == 2
    assert ">12 / 0 / 0</td>" in page
    assert page.count("<circle") == 2 * 3 + 3 * 12
    assert "1 mm of one, 1 mm of two" in page
    assert "Cases that a model" not in page


def test_a_difference_that_chance_may_explain_is_no_victory():
    page = comparison_page(compared(model("A", rows()), model("B", rows(0.01))))
    assert "which chance may explain" in page
    assert "not shown to differ" in page


def test_the_page_of_three_models():
    found = compared(model("A", rows()), model("B", rows(0.15)), model("C", rows(0.05)))
    page = comparison_page(found)
    assert "<h2>Ranking</h2>" in page
    assert "A, B and C: 12 cases in common." in page
    assert [page.count(f"<h3>{pair}</h3>") for pair in ("B minus A", "C minus A", "C minus B")] == [1, 1, 1]
    ranks = page.split("<h3>Dice, tau")[1].split("</table>")[0]
    assert [ranks.index(f">{name} (") for name in "BCA"] == sorted(ranks.index(f">{name} (") for name in "BCA")


def test_cases_that_a_model_lacks_are_told_first():
    page = comparison_page(compared(model("A", rows()[4:]), model("B", rows(0.1))))
    assert "Cases that a model has no scores of are in no comparison with it" in page
    assert '<td class="text">c0, c1</td>' in page
    assert page.index("c0, c1") < page.index("<h2>Differences</h2>")


def test_false_positives_without_a_counterpart_are_told_first():
    """A draws what is not there in two cases of five, B rightly draws nothing: no difference holds that."""
    sick = [score_row(f"c{n}", "one", 0.8) for n in range(3)]
    one = [*sick, score_row("c3", "one", 0.0), score_row("c4", "one", 0.0)]
    other = [*sick, both_empty("c3", "one"), both_empty("c4", "one")]
    found = compared(model("A", one, ("one",)), model("B", other, ("one",)))
    page = comparison_page(found)
    assert "False positives are in no difference where the other model rightly drew nothing" in page
    row = '<td class="text">A</td><td class="text">one</td><td class="text">2</td><td class="text">c3, c4</td>'
    assert page.count(row) == 1
    assert page.index(row) < page.index("<h2>Differences</h2>")
    assert [row["left out"] for row in console_rows(found)] == [2, 2]
    assert "False positives are in" not in comparison_page(compared())


def test_one_patient_is_too_few():
    one = [score_row("a", "one", 0.5)]
    found = compared(model("A", one, ("one",)), model("B", one, ("one",)))
    assert "too few patients" in comparison_page(found)
    assert "One: mean Dice of B is 0.000 lower" not in comparison_page(found)
    assert "One: mean Dice of B is the same as that of A." in comparison_page(found)


def test_nothing_from_outside_becomes_markup():
    page = comparison_page(compared(model(EVIL, rows()), model("B", rows(0.1))))
    assert EVIL not in page
    assert "&lt;img src=x" in page
    assert not re.search(r"https?://|<script|@import", page)


def test_json_is_strict_and_names_no_patient():
    tree = json.loads(json_text(comparison_json(compared())))
    assert tree["models"] == ["A", "B"]
    assert (len(tree["cases"]), tree["patients"], tree["lacking"]) == (12, 12, {})
    assert tree["settings"]["nsd_tolerance"] == {"one": 1.0, "two": 1.0}
    first = tree["differences"][0]
    assert {"one", "other", "structure", "score", "difference", "low", "high", "p", "p_adjusted"} <= set(first)
    assert first["difference"] == first["mean_other"] - first["mean_one"]
    assert (first["other_better"], first["patients"], first["cases"]) == (12, 12, 12)
    assert tree["rankings"] == {}
    three = compared(model("A", rows()), model("B", rows(0.15)), model("C", rows(0.05)))
    ranking = comparison_json(three)["rankings"]["dice"]
    assert [one["rank"] for one in ranking["models"]] == [3, 1, 2]
    assert "A c0" not in json_text(comparison_json(three))  # what the factory calls the patients


def test_console_rows_are_narrow_and_plain():
    two = console_rows(compared())
    assert len(two) == len(difference_rows(compared())) == 6
    assert list(two[0]) == [
        "structure", "score", "A", "B", "difference", "95 % CI", "p (Holm)", "better", "worse", "equal",
    ]  # fmt: skip
    assert two[1]["score"] == "HD95 mm"
    three = console_rows(compared(model("A", rows()), model("B", rows(0.15)), model("C", rows(0.05))))
    assert three[0]["second minus first"] == "B minus A"
