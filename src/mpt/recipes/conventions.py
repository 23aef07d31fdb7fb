"""The field's conventions: how errors are counted on Human3.6M, 3DPW, EMDB, FreiHAND, and on labelled photos.

Figures are comparable only under one convention, so each has a name and says in words what it does. All of
them count in the axes of the photo's camera, to which a network's answer is brought by the ray through the
person's root (``mpt.views``).
"""

from typing import Literal

import torch

from mpt.bodies import Body
from mpt.bodies.smpl import Gender
from mpt.datasets import freihand, human36m, tdpw
from mpt.datasets.sample import Samples
from mpt.errors import InputError
from mpt.recipes.counting import Convention, Hands, LimbJoints, OwnMeshes, Reprojection
from mpt.recipes.counting_smpl import EmdbMeshes, Human36MJoints, SmplMeshes
from mpt.skeletons import COCO17, H36M17, HAND21, SMPL24, begin_alike

Name = Literal["h36m", "3dpw", "emdb", "freihand", "folder", "rendered"]
TITLES = {
    "h36m": "Human3.6M, protocol 2: S9 and S11, frontal camera",
    "3dpw": "3DPW, test set",
    "emdb": "EMDB-1",
    "freihand": "FreiHAND, evaluation set",
    "folder": "photos with COCO keypoints",
    "rendered": "rendered pictures, held out",
}
BENCHMARK_OF_SET: dict[str, Name] = {human36m.NAME: "h36m", tdpw.NAME: "3dpw", freihand.NAME: "freihand"}


def conventions(
    name: Name, body: Body, people: dict[Gender, Body] | None = None
) -> tuple[list[Convention], list[str]]:
    """The conventions by which a model of this body can be measured, and why others cannot, in sentences.

    people: SMPL bodies by gender, for 3DPW and EMDB; the model's own is added where its gender has none.

    Raises:
        InputError: the benchmark shows hands and the body is whole, or the other way round; an SMPL body
            without Human3.6M's regressor, or for EMDB without that of SMPL's joints; no body for any of
            3DPW's conventions, or for EMDB's women or men; a body for EMDB that is no SMPL.
    """
    wanted = HAND21 if name == "freihand" else COCO17
    if not begin_alike(body.skeleton, wanted):
        raise InputError(
            f"the model was made for the joints of {body.skeleton.name}, but {TITLES[name]} asks for those "
            f"of {wanted.name}: give another model"
        )
    body = body.to(dtype=torch.float64)
    if name == "freihand":
        return [Hands(body)], []
    if name == "rendered":
        return [OwnMeshes(body)], []
    if name == "folder":
        return [Reprojection()], []
    if name == "emdb" and body.metadata.get("shape_space") != "smpl":
        raise InputError(
            f"EMDB's truth is a mesh of SMPL, and the model's body is {body.name}: give a model that was "
            "trained on SMPL"
        )
    if body.metadata.get("shape_space") != "smpl":
        return [LimbJoints(body)], [f"{body.name} has no regressor of Human3.6M's joints."]
    everybody: dict[Gender, Body] = {body.metadata["gender"]: body}
    for gender, person in (people or {}).items():
        everybody[gender] = person.to(dtype=torch.float64)
    _check_people(everybody)
    if name == "emdb":
        return _on_emdb(everybody, body.metadata["gender"])
    if H36M17.name not in body.regressors:
        raise InputError(
            f"{body.name}: has no regressor of Human3.6M's joints; make the body file again with "
            "`mpt prepare body smpl FILE --h36m-regressor J_regressor_h36m.npy`"
        )
    if name == "h36m":
        return [Human36MJoints(body)], []
    found: list[Convention] = []
    notes = []
    if "neutral" in everybody:
        found.append(SmplMeshes(body, everybody, neutral=True))
    else:
        notes.append("metro-neutral is left out: it needs --neutral FILE.")
    if {"female", "male"} <= everybody.keys():
        found.append(SmplMeshes(body, everybody, neutral=False))
    else:
        notes.append("spin-gendered is left out: it needs --female FILE and --male FILE.")
    if not found:
        raise InputError(
            "3DPW's truth is a mesh of SMPL: name --neutral FILE, or --female FILE and --male FILE, bodies "
            "made by `mpt prepare body smpl`"
        )
    return found, notes


def _on_emdb(people: dict[Gender, Body], own: Gender) -> tuple[list[Convention], list[str]]:
    """EMDB's, and why one is missing. Refuses at once what would fail at the first woman or man."""
    if missing := sorted({"female", "male"} - people.keys()):
        raise InputError(
            f"EMDB's truth is the gendered SMPL: name {' and '.join(f'--{g} FILE' for g in missing)}, bodies "
            "made by `mpt prepare body smpl`"
        )
    for gender, person in people.items():
        if SMPL24.name not in person.regressors:
            # Not with --body: a model knows its own body by the very file.
            raise InputError(
                f"{person.name}: has no regressor of SMPL's own joints, as body files made before had none; "
                f"make it again with `mpt prepare body smpl` and name it with --{gender} FILE"
            )
    found: list[Convention] = [EmdbMeshes(people, own, neutral=False)]
    if "neutral" in people:
        return [*found, EmdbMeshes(people, own, neutral=True)], []
    return found, ["gvhmr-neutral-joints is left out: it needs --neutral FILE."]


def convention_of(samples: Samples, body: Body) -> Convention:
    """By which a model of this body is validated on a data set: the first that `mpt evaluate` has for it,
    else what the first sample allows. Raises InputError as :func:`conventions` does, or where it allows none.
    """
    if name := BENCHMARK_OF_SET.get(samples.dataset):
        return conventions(name, body)[0][0]
    body = body.to(dtype=torch.float64)
    candidates: list[Convention] = [OwnMeshes(body)]
    if begin_alike(body.skeleton, COCO17):
        neutral = body.metadata.get("gender") == "neutral" and H36M17.name in body.regressors
        candidates += [SmplMeshes(body, {"neutral": body}, neutral=True)] if neutral else []
        candidates += [LimbJoints(body)]
    else:
        candidates += [Hands(body)]
    found = next((rule for rule in candidates if rule.knows(samples[0])), None)
    if found is None:
        raise InputError(
            f"{samples.dataset} tells too few joints in 3D to validate by: choose a data set with 3D truth"
        )
    return found


def _check_people(people: dict[Gender, Body]) -> None:
    for gender, person in people.items():
        if person.metadata.get("gender") != gender:
            raise InputError(
                f"--{gender} names the body {person.name}: give the {gender} SMPL, made by "
                f"`mpt prepare body smpl FILE --gender {gender}`"
            )
