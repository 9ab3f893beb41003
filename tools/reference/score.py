#!/usr/bin/env python3
"""Scores by sacreBLEU: the fixture of crates/fp8-trainer/tests/score.rs, and a comparison on files.

    pip install sacrebleu==2.6.0
    python tools/reference/score.py > crates/fp8-trainer/tests/fixtures/score.json
    python tools/reference/score.py --program target/release/fp8-trainer --references REF REF ... [--outputs 200] [--seed 1]

The first form scores sentences made up here, damaged at random. The second damages the first file of references `--outputs` times, 50
lines each, writes the results to a temporary folder, has the program score them with every tokenizer, and stops at the first digit that
differs; before that, it scores the whole files against each other.
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

DIGITS = 8
TOKENIZERS = ["13a", "intl", "none", "char"]
SMOOTHINGS = [("exp", None), ("floor", None), ("floor", 0.3), ("add-k", None), ("add-k", 0.5), ("none", None)]

# Marks that combine, right to left, CJK, emoji, spaces that do not break or have no width, controls, digits and signs of other scripts.
ODD = [
    "\u0301", "e\u0308", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627\u060c", "\u4f60\u597d\u3002", "\u65e5\u672c\u8a9e",
    "\U0001f600", "\U0001f469\u200d\U0001f52c", "\U0001f1e9\U0001f1ea", "\u00a0", "\u200b", "\u2028", "\u3000", "\ufeff", "\x07", "\x1c",
    "\x85", "\u0660\u0661", "\u2167", "\u00bd", "\u00b2", "\u20ac", "\u00d7", "\u2014", "\u201e", "\u2026", "\u0130", "\u03a3", "\u1e9e", "\u01c5",
    "\u00ad", "\u0e33", "\u0966", "\U0001d7d9", "\u2460", "&quot;", "&amp;lt;", "<skipped>", "-", "...", "3,5", "1.", ".5", "--", "'", "``", "\t",
]

SENTENCES = [
    ("The ferry to the island leaves at 7.45, not at 8!", "At 7.45 the ferry leaves for the island, not at 8!"),
    ("Her grandmother's clock (a well-made one) stopped in 1987.", "The clock of her grandmother, a well-made one, stopped in 1987."),
    ("\u201eKommst du mit?\u201c, fragte die Schlosserin \u2013 und l\u00e4chelte.", "\u201eKommst du?\u201c, fragte die Schlosserin und l\u00e4chelte \u2026"),
    ("They sold 1,250 jars of honey for \u20ac 3.50 each.", "1,250 jars of honey were sold, at \u20ac3.50 a jar."),
    ("\u05d4\u05d7\u05ea\u05d5\u05dc \u05d9\u05e9\u05df \u05e2\u05dc \u05d4\u05d2\u05d2.", "\u05d4\u05d7\u05ea\u05d5\u05dc \u05d4\u05dc\u05d1\u05df \u05d9\u05e9\u05df, \u05e2\u05dc \u05d4\u05d2\u05d2!"),
    ("\u732b\u5728\u5c4b\u9876\u4e0a\u7761\u89c9\uff0c\u72d7\u5728\u9662\u5b50\u91cc\u3002", "\u767d\u732b\u5728\u5c4b\u9876\u4e0a\u7761\u89c9\uff1b\u72d7\u5728\u95e8\u53e3\u3002"),
    ("Rain fell on tin roofs & on the 3-legged dog.", "Rain fell on roofs of tin & on the dog with 3 legs."),
    ("No.", "No!"),
    ("\u039f \u03a3\u039f\u03a6\u039f\u03a3 \u0393\u0395\u03a1\u039f\u03a3 \u03b3\u03b5\u03bb\u03ac.", "\u039f \u03c3\u03bf\u03c6\u03cc\u03c2 \u03b3\u03ad\u03c1\u03bf\u03c2 \u03b3\u03b5\u03bb\u03ac\u0387"),
    ("\u0130zmir'de 50\u00a0000 ki\u015fi \U0001f389 kutlad\u0131", "\u0130zmir'de 50.000 ki\u015fi kutlad\u0131 \U0001f389\U0001f389"),
    ("Cafe\u0301 and caf\u00e9 look alike; they aren't the same bytes.", "Caf\u00e9 and cafe\u0301 look the same - but their bytes differ."),
    ("", "An empty line has a reference."),
    ("This line has none.", ""),
    ("a b c d e f g h i j", "a b c d x f g h i j"),
]


def damaged(line, rng):
    """Words lost, doubled, swapped, cut; odd characters put in; sometimes nothing left, sometimes nothing done."""
    words = line.split(" ")
    for _ in range(rng.choice([0, 1, 2, 3, 5])):
        at = rng.randrange(len(words)) if words else 0
        match rng.randrange(8) if words else 4:
            case 0:
                del words[at]
            case 1:
                words.insert(at, words[at])
            case 2:
                other = rng.randrange(len(words))
                words[at], words[other] = words[other], words[at]
            case 3:
                words[at] = words[at][: rng.randrange(len(words[at]) + 1)]
            case 4:
                words.insert(at, rng.choice(ODD))
            case 5:
                cut = rng.randrange(len(words[at]) + 1)
                words[at] = words[at][:cut] + rng.choice(ODD) + words[at][cut:]
            case 6:
                words[at] = words[at].swapcase()
            case 7:
                words[at] += rng.choice(ODD)
    return "" if rng.random() < 0.02 else " ".join(words)


def text(score, metric):
    return score.format(width=DIGITS, signature=metric.get_signature().format())


def bleu(lines, references, tokenize, smooth, value, lowercase, effective):
    metric = BLEU(
        tokenize=tokenize, smooth_method=smooth, smooth_value=value, lowercase=lowercase, effective_order=effective, force=True
    )
    return text(metric.corpus_score(lines, references), metric)


def chrf(lines, references, words, lowercase):
    metric = CHRF(word_order=words, lowercase=lowercase)
    return text(metric.corpus_score(lines, references), metric)


def fixture(seed):
    rng = random.Random(seed)
    references = [list(side) for side in zip(*(SENTENCES * 2))]
    references.append([damaged(line, rng) for line in references[0]])
    lines = [damaged(line, rng) for line in references[0]]
    cases = []
    for sets, lowercase in itertools.product([1, 3], [False, True]):
        for tokenize, (smooth, value) in itertools.product(TOKENIZERS, SMOOTHINGS):
            if smooth != "exp" and tokenize != "13a":
                continue
            for line in [None, *range(len(SENTENCES))]:
                if line is not None and (lowercase or sets == 3 and smooth != "exp"):
                    continue
                part = slice(line, line if line is None else line + 1)
                sides = lines[part], [side[part] for side in references[:sets]]
                case = {"sets": sets, "line": line, "tokenize": tokenize, "smooth": smooth, "value": value, "lowercase": lowercase}
                printed = bleu(*sides, tokenize, smooth, value, lowercase, line is not None)
                cases.append({"metric": "bleu", **case, "printed": printed})
        for words in range(3):
            for line in [None, *range(len(SENTENCES))]:
                part = slice(line, line if line is None else line + 1)
                sides = lines[part], [side[part] for side in references[:sets]]
                case = {"sets": sets, "line": line, "words": words, "lowercase": lowercase}
                cases.append({"metric": "chrf", **case, "printed": chrf(*sides, words, lowercase)})
    print('{"translations":', json.dumps(lines) + ',\n"references":', json.dumps(references) + ',\n"cases": [')
    print(",\n".join(json.dumps(case) for case in cases), "]}", sep="\n")


def unsigned(line):
    """Without the version, in which they must differ."""
    head, _, tail = line.partition("|version:")
    return head, tail.partition(" = ")[2]


def compare(program, folder, lines, references, tokenizers, lowercase):
    """Stops where the program prints something else. Returns the number of scores."""
    paths = [folder / "out", *(folder / f"ref{at}" for at in range(len(references)))]
    for path, side in zip(paths, [lines, *references]):
        path.write_text("".join(line + "\n" for line in side), encoding="utf-8", newline="\n")
    count = 0
    for tokenize in tokenizers:
        arguments = ["--metrics", "bleu,chrf,chrf++", "--tokenize", tokenize, "--width", str(DIGITS)]
        arguments += ["--lowercase"] if lowercase else []
        command = [program, "score", paths[0], "--references", *paths[1:], *arguments]
        printed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.split("\n")[:-1]
        expected = [bleu(lines, references, tokenize, "exp", None, lowercase, False)]
        expected += [chrf(lines, references, words, lowercase) for words in (0, 2)]
        for ours, theirs in zip(printed, expected, strict=True):
            if unsigned(ours) != unsigned(theirs):
                sys.exit(f"ours   {ours}\ntheirs {theirs}")
            count += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program")
    parser.add_argument("--references", nargs="+", type=Path)
    parser.add_argument("--outputs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.program:
        return fixture(arguments.seed)
    rng = random.Random(arguments.seed)
    sides = [path.read_text(encoding="utf-8").rstrip("\n").split("\n") for path in arguments.references]
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for lines in sides:
            others = [side for side in sides if side is not lines]
            for references in [*([other] for other in others), others]:
                for lowercase in (False, True):
                    count += compare(arguments.program, Path(folder), lines, references, TOKENIZERS, lowercase)
        print(f"{count} scores of whole files are equal to {DIGITS} digits", flush=True)
        count = 0
        for output in range(arguments.outputs):
            start = rng.randrange(max(1, len(sides[0]) - 50))
            part = [side[start : start + 50] for side in sides]
            lines = [damaged(line, rng).replace("\n", " ") for line in part[0]]
            references = part[: 1 + output % len(part)]
            count += compare(arguments.program, Path(folder), lines, references, TOKENIZERS, output % 5 == 0)
        print(f"{count} scores of {arguments.outputs} damaged outputs are equal to {DIGITS} digits")


if __name__ == "__main__":
    main()
