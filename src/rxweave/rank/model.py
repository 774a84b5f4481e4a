"""The fitted ranker: boosted trees, beside them a linear and a bilinear member; calibrated, saved without pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from jaxtyping import Float, Float32, Int
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from rxweave.artifacts import atomic_path, write_json
from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import InputError, RxweaveError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_not_joined
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.rank.bilinear import Bilinear, Even
from rxweave.rank.blend import TREES, Blend
from rxweave.rank.calibration import Calibration
from rxweave.rank.features import PairFeatures, aligned_vectors, decoder_feature, pair_features
from rxweave.rank.linear import LinearModel
from rxweave.rank.paths import PathScale

TREATS, NOT_TREAT, UNKNOWN = "treats", "not_treat", "unknown"
SAVED_AS = "rxweave ranker 3"
"""What the file `ranker.json` says it is."""


@dataclass(frozen=True, eq=False)
class Ranker:
    """A fitted ranker; `score` orders pairs, `probabilities` says what a score means.

    Classes are treats and unknown, and not_treat between them when the graph has contraindications.
    """

    boosters: tuple[xgb.Booster, ...]
    linear: tuple[LinearModel, ...]
    """Fitted to the same rows as the boosters, one each; none where its weight is 0."""
    bilinear: Bilinear | None
    blend: Blend
    settings: RankSettings
    classes: tuple[str, ...]
    class_weights: tuple[float, ...]
    """Weight of a row of each class in fitting; taken out of the scores again."""
    feature_names: tuple[str, ...]
    scale: PathScale
    drawn: Int[np.ndarray, "models drawn"]
    """The pairs (`graph.pairs.pair_codes`) that each model was told are unknown; no pair twice."""
    num_diseases: int
    nodes_sha256: str
    """Fingerprint of the drugs and diseases it was fitted on, in their order (`nodes_fingerprint`)."""
    held_out: Pairs
    """The pairs that it was fitted without; no graph that joins them is scored."""
    kept: tuple[str, ...]
    """Relations that may join them (`Split.kept`)."""
    calibration: Calibration
    seed: int

    def features(self, training: Graph, embeddings: Embeddings | None) -> PairFeatures:
        """Prepare the features of all pairs of the training graph as the ranker knows them.

        Raises InputError when the graph is another one than that it was fitted on, LeakError when it joins a pair
        that the ranker was fitted without.
        """
        if nodes_fingerprint(training) != self.nodes_sha256:
            raise InputError(
                f"The drugs and diseases of {training.name} are not those that the ranker was fitted on. "
                "Score with the training graph it was fitted on, or fit it again."
            )
        check_not_joined(training, self.held_out, kept=self.kept)
        vectors = None if embeddings is None else aligned_vectors(embeddings, training)
        of_features = self.settings.features
        decoder = decoder_feature(embeddings, vectors, training, of_features)
        made = pair_features(training, vectors, self.scale, of_features, seed=self.seed, decoder=decoder)
        if made.names != self.feature_names:
            other = sorted(set(made.names) ^ set(self.feature_names))
            raise InputError(
                f"{training.name} gives {len(made.names)} features, the ranker was fitted on "
                f"{len(self.feature_names)}; first difference: {other[0] if other else 'their order'!r}. "
                "Score with the training graph and embeddings it was fitted on, or fit it again."
            )
        return made

    def score(self, rows: Float32[np.ndarray, "rows features"], pairs: Pairs) -> Float32[np.ndarray, "rows scores"]:
        """Give the log-odds of treatment of each pair, which order the pairs, from its row of features.

        The blend (`rank.blend`) of the members' scores (`member_scores`). With three classes a second column holds the
        trees' log-odds of not_treat against unknown. Both are for the mix of classes that was drawn, the weights of
        fitting taken out.
        """
        members, harms = self.member_scores(rows, pairs)
        columns = [self.blend(members), *([] if harms is None else [harms])]
        return np.stack(columns, axis=1).astype(np.float32)

    def member_scores(
        self, rows: Float32[np.ndarray, "rows features"], pairs: Pairs
    ) -> tuple[dict[str, Float[np.ndarray, " rows"]], Float[np.ndarray, " rows"] | None]:
        """Give each member's own score of treatment, and the trees' of not_treat against unknown (None: two classes).

        Trees and linear models answer with the mean over them, but a model that was told in fitting that a pair is
        unknown is not asked about that pair: its answer repeats the label, and some of the pairs drawn are treatments
        nobody has recorded yet. (Out-of-bag scores for learning from positive and unlabelled pairs: Mordelet & Vert
        2014.) A single model is asked about all.
        """
        codes = pair_codes(pairs, self.num_diseases)
        asked = np.zeros(len(rows))
        trees, harms, linear = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows))
        for i, (booster, drawn) in enumerate(zip(self.boosters, self.drawn, strict=True)):
            ask = np.full(len(rows), len(self.boosters) == 1) | ~np.isin(codes, drawn)
            asked[ask] += 1
            margin = booster.inplace_predict(rows, predict_type="margin")[ask].astype(np.float64)
            treats, not_treat = self.log_odds(margin)
            trees[ask] += treats
            harms[ask] += not_treat
            if self.linear:
                linear[ask] += self.log_odds(self.linear[i].margins(rows[ask]))[0]
        found = {TREES: trees / asked}
        if self.linear:
            found["linear"] = linear / asked
        if self.bilinear is not None:
            found["bilinear"] = self.bilinear.scores(pairs)
        return found, harms / asked if len(self.classes) == 3 else None

    def log_odds(
        self, margins: Float[np.ndarray, "*_"]
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """Give the log-odds of treats, and of not_treat against unknown (0 with two classes), of a model's margins."""
        shift = np.log(np.array(self.class_weights))
        if len(self.classes) == 2:
            treats = margins.reshape(len(margins)) - shift[0]
            return treats, np.zeros_like(treats)
        treats, harms, unknown = (margins - shift).T
        return treats - np.logaddexp(harms, unknown), harms - unknown

    def probabilities(self, scores: Float[np.ndarray, "rows scores"]) -> Float[np.ndarray, "rows classes"]:
        """Give the probability of each class from scores; rows sum to 1, and the first column never falls
        with the first score (see `Calibration` for the mix of pairs that it holds for).
        """
        treats = self.calibration.probability(scores[:, 0])
        if len(self.classes) == 2:
            return np.stack([treats, 1 - treats], axis=1)
        harms = (1 - treats) * expit(scores[:, 1].astype(np.float64))
        return np.stack([treats, harms, 1 - treats - harms], axis=1)

    def predict_proba(
        self, rows: Float32[np.ndarray, "rows features"], pairs: Pairs
    ) -> Float[np.ndarray, "rows classes"]:
        """Give the probability of each class of each pair from its row of features."""
        return self.probabilities(self.score(rows, pairs))

    def save(self, folder: Path) -> None:
        """Write `model_0.ubj`, `model_1.ubj`, … (XGBoost's own format), `members.safetensors` with the arrays of the
        others, `drawn.npy` and, last, `ranker.json`.
        """
        # Without it a folder holds no ranker, so a save that is cut short leaves none that looks complete.
        (folder / "ranker.json").unlink(missing_ok=True)
        with atomic_path(folder / "drawn.npy") as temporary:
            np.save(temporary, self.drawn, allow_pickle=False)
        with atomic_path(folder / "members.safetensors") as temporary:
            save_file(self._arrays(), temporary)
        for i, booster in enumerate(self.boosters):
            with atomic_path(folder / f"model_{i}.ubj") as temporary:
                booster.save_model(temporary)
        described = {
            "saved_as": SAVED_AS,
            "settings": self.settings.model_dump(mode="json"),
            "classes": self.classes,
            "class_weights": self.class_weights,
            "feature_names": self.feature_names,
            "scale": asdict(self.scale),
            "num_diseases": self.num_diseases,
            "nodes_sha256": self.nodes_sha256,
            "held_out": self.held_out,
            "kept": self.kept,
            "calibration": asdict(self.calibration),
            "blend": asdict(self.blend),
            "bilinear_deviation": None if self.bilinear is None else self.bilinear.deviation,
            "bilinear_even": None if self.bilinear is None or self.bilinear.even is None else self.bilinear.even.end,
            "seed": self.seed,
            "xgboost": xgb.__version__,
        }
        write_json(folder / "ranker.json", described)

    def _arrays(self) -> dict[str, np.ndarray]:
        found = {
            f"linear.{i}.{name}": array for i, model in enumerate(self.linear) for name, array in vars(model).items()
        }
        if self.bilinear is not None:
            found |= {"bilinear.drugs": self.bilinear.drugs, "bilinear.diseases": self.bilinear.diseases}
            if self.bilinear.even is not None:
                found |= {
                    "bilinear.means": self.bilinear.even.means,
                    "bilinear.deviations": self.bilinear.even.deviations,
                }
        return {name: np.ascontiguousarray(array) for name, array in found.items()}

    @staticmethod
    def load(folder: Path) -> Ranker:
        """Read a saved ranker; it scores exactly as the one that was saved. Raises InputError for anything
        else.
        """
        path = folder / "ranker.json"
        if not path.is_file():
            raise InputError(f"{folder} holds no ranker ({path.name} is missing). Fit one first: rxweave rank.")
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if found.get("saved_as") != SAVED_AS:
                raise InputError(
                    f"{path} says {found.get('saved_as')!r} where {SAVED_AS!r} was expected: another version of "
                    "rxweave saved it. Make the run again: rxweave run."
                )
            settings = RankSettings(**found["settings"])
            boosters = []
            for i in range(settings.num_draws):
                booster = xgb.Booster({"nthread": settings.threads})
                booster.load_model(folder / f"model_{i}.ubj")
                boosters.append(booster)
            scale, deviation = found["scale"], found["bilinear_deviation"]
            arrays = load_file(folder / "members.safetensors")
            even = found["bilinear_even"]
            names, num_linear = LinearModel.__dataclass_fields__, settings.num_draws if settings.linear_weight else 0
            linear = [LinearModel(**{n: arrays[f"linear.{i}.{n}"] for n in names}) for i in range(num_linear)]
            return Ranker(
                boosters=tuple(boosters),
                linear=tuple(linear),
                bilinear=None
                if deviation is None
                else Bilinear(
                    arrays["bilinear.drugs"],
                    arrays["bilinear.diseases"],
                    deviation,
                    None if even is None else Even(even, arrays["bilinear.means"], arrays["bilinear.deviations"]),
                ),
                blend=Blend(**found["blend"]),
                settings=settings,
                classes=tuple(found["classes"]),
                class_weights=tuple(found["class_weights"]),
                feature_names=tuple(found["feature_names"]),
                scale=PathScale(tuple(scale["names"]), np.array(scale["means"], np.float32), scale["dropped"]),
                drawn=np.load(folder / "drawn.npy", allow_pickle=False),
                num_diseases=found["num_diseases"],
                nodes_sha256=found["nodes_sha256"],
                held_out=np.array(found["held_out"], np.int64).reshape(-1, 2),
                kept=tuple(found["kept"]),
                calibration=Calibration(**found["calibration"]),
                seed=found["seed"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, xgb.core.XGBoostError) as error:
            if isinstance(error, RxweaveError):
                raise
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{folder} does not hold a complete ranker: {reason}. Fit it again.") from error


def nodes_fingerprint(graph: Graph) -> str:
    """Give the SHA-256, in hexadecimal, of the keys of the drugs, then the diseases, in their order."""
    ends = [graph.nodes["node_key"][graph.rows_of(end)] for end in (graph.roles.drug, graph.roles.disease)]
    return hashlib.sha256("\n".join([*ends[0], "", *ends[1]]).encode()).hexdigest()
