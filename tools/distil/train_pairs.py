"""Trains the pair scorer: a small set of regression trees over the features of a near pair.

    train_pairs.py FEATURES.tsv [--out model/pairs.txt]

FEATURES.tsv has a line of names and then numbers, the last column being the target. Its last tenth validates, so pairs
that share a text should stand together (as `pairs.py` writes them). The server computes the features itself, in single
precision; thresholds are therefore rounded so that single precision takes the same turns as the training did.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from teacher import Floats

ROOT = Path(__file__).resolve().parents[2]
TREES, LEAVES = 60, 8
RATE = 0.15
SMALLEST_LEAF = 100
SEED = 17
VALIDATION = 0.1

HEAD = """\
# The pair scorer: regression trees; the score is base + the value of the leaf reached in each tree.
# After these comments: "base B", then "features NAME...", then a line for each tree, its nodes separated by ";".
# A node is "F T L R": go to node L of this line if feature F (from 0) <= T, else to node R; or it is a leaf, "V".
# A tree begins at its node 0, and a node's children always stand behind it. All numbers are single precision.
"""

Node = tuple[int, np.float32, int, int] | np.float32
Tree = list[Node]


def read_features(path: Path) -> tuple[list[str], Floats, Floats]:
    """Names, features and targets. A number that is not finite is an error of the one who computed it."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().rstrip("\n").split("\t")
        rows = np.loadtxt(file, np.float32, delimiter="\t", ndmin=2)
    if rows.shape[1] != len(names) or not np.isfinite(rows).all():
        raise ValueError(f"{path}: {len(names)} names need as many columns of finite numbers")
    return names[:-1], rows[:, :-1], rows[:, -1]


def not_above(threshold: float) -> np.float32:
    """The largest number of single precision that is no larger: `x <= it` holds for the same single `x`."""
    single = np.float32(threshold)
    return single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf))


def flatten(node: dict[str, Any], tree: Tree) -> int:
    """Append a node of lightgbm's dump and all below it; the index of the node."""
    index = len(tree)
    if "leaf_value" in node:
        tree.append(np.float32(node["leaf_value"]))
        return index
    if node["decision_type"] != "<=":
        raise ValueError(f"a split by {node['decision_type']!r} has no place in the file")
    tree.append(np.float32(0))
    left = flatten(node["left_child"], tree)
    right = flatten(node["right_child"], tree)
    tree[index] = (int(node["split_feature"]), not_above(float(node["threshold"])), left, right)
    return index


def fit(features: Floats, targets: Floats, base: float) -> lightgbm.Booster:
    settings = {
        "objective": "l2",
        "num_leaves": LEAVES,
        "learning_rate": RATE,
        "min_data_in_leaf": SMALLEST_LEAF,
        "boost_from_average": False,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 2,
        "seed": SEED,
        "verbosity": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(features, targets - base, free_raw_data=False), TREES)


def trees_of(booster: lightgbm.Booster) -> list[Tree]:
    trees: list[Tree] = []
    for info in booster.dump_model()["tree_info"]:
        tree: Tree = []
        flatten(info["tree_structure"], tree)
        trees.append(tree)
    return trees


def predict(trees: Sequence[Tree], base: float, features: Floats) -> NDArray[np.float64]:
    """What the server will answer, from the exported nodes alone."""
    out = np.full(len(features), base)
    for tree in trees:
        for i, row in enumerate(features):
            node = tree[0]
            while isinstance(node, tuple):
                feature, threshold, left, right = node
                node = tree[left if row[feature] <= threshold else right]
            out[i] += node
    return out


def text_of(node: Node) -> str:
    if isinstance(node, tuple):
        feature, threshold, left, right = node
        return f"{feature} {threshold!s} {left} {right}"
    return str(node)


def write(path: Path, base: float, names: Sequence[str], trees: Sequence[Tree]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEAD)
        file.write(f"base {np.float32(base)!s}\nfeatures {' '.join(names)}\n")
        file.writelines(";".join(map(text_of, tree)) + "\n" for tree in trees)


def read(path: Path) -> tuple[float, list[str], list[Tree]]:
    """The file as a reader of it should see it; the check below goes through here."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    trees: list[Tree] = []
    for line in lines[2:]:
        tree: Tree = []
        for node in line.split(";"):
            parts = node.split()
            if len(parts) == 1:
                tree.append(np.float32(parts[0]))
            else:
                tree.append((int(parts[0]), np.float32(parts[1]), int(parts[2]), int(parts[3])))
        trees.append(tree)
    return float(lines[0].split()[1]), lines[1].split()[1:], trees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "model" / "pairs.txt")
    args = parser.parse_args()

    names, features, targets = read_features(args.features)
    split = len(features) - int(len(features) * VALIDATION)
    base = float(np.float32(targets[:split].mean()))
    booster = fit(features[:split], targets[:split], base)
    write(args.out, base, names, trees_of(booster))

    base, _, trees = read(args.out)
    checked = features[split:][:2_000]
    drift = np.abs(predict(trees, base, checked) - base - booster.predict(checked)).max()
    error = targets[split:] - base - booster.predict(features[split:])
    print(f"{len(features):,} pairs, {len(features) - split:,} of them for validation")
    print(f"rms error {np.sqrt(np.mean(error**2)):.4f}, of the mean alone {targets[split:].std():.4f}")
    print(f"largest difference between the file and the trained trees: {drift:.2e}")
    for name, gain in sorted(zip(names, booster.feature_importance("gain"), strict=True), key=lambda item: -item[1]):
        print(f"  {name}: gain {gain:.1f}")
    print(f"{args.out.name}: {args.out.stat().st_size:,} bytes")
    if drift > 1e-5:
        raise SystemExit("the file does not answer as the trained trees do")


if __name__ == "__main__":
    main()
