# SPDX-License-Identifier: MIT
"""The fields of SAEBench's result files, from its own pydantic models: tests/golden/saebench.json.

    python tests/golden/saebench.py                 # writes it
    python tests/golden/saebench.py FILE.json ...   # validates results by the models themselves

One rule a field: its path ("[]": each entry of the list), the JSON types it may have, and whether it
must be there. tests/cli/saebench.sh holds results against them without Python.
Made with sae-bench 0.6.0, pydantic 2.14."""
import importlib
import json
import os
import sys

from pydantic import TypeAdapter

MODELS = {"core": ("core", "CoreEvalOutput"),
          "sparse_probing": ("sparse_probing", "SparseProbingEvalOutput"),
          "sparse_probing_sae_probes": ("sparse_probing_sae_probes",
                                        "SparseProbingSaeProbesEvalOutput"),
          "absorption_first_letter": ("absorption", "AbsorptionEvalOutput"),
          "unlearning": ("unlearning", "UnlearningEvalOutput"),
          "autointerp": ("autointerp", "AutoInterpEvalOutput"),
          "scr": ("scr_and_tpp", "ScrEvalOutput"), "tpp": ("scr_and_tpp", "TppEvalOutput")}


def model(name):
    folder, cls = MODELS[name]
    return TypeAdapter(getattr(importlib.import_module(f"sae_bench.evals.{folder}.eval_output"), cls))


def types(node, defs):
    if "$ref" in node:
        node = defs[node["$ref"].split("/")[-1]]
    if "anyOf" in node:
        parts = [types(part, defs) for part in node["anyOf"]]
        return sorted({t for part in parts for t in part}) if all(parts) else []  # []: anything
    return [node["type"]] if "type" in node else []


def rules(node, defs, path, required, out):
    while "$ref" in node or "allOf" in node:
        node = defs[node["$ref"].split("/")[-1]] if "$ref" in node else node["allOf"][0]
    found = types(node, defs)
    if path:
        out.append({"path": path, "types": found, "required": required})
    for key, child in node.get("properties", {}).items():
        rules(child, defs, path + [key], key in node.get("required", []), out)
    if "items" in node and node["items"]:
        rules(node["items"], defs, path + ["[]"], False, out)


if len(sys.argv) > 1:
    for file in sys.argv[1:]:
        result = json.load(open(file))
        model(result["eval_type_id"]).validate_python(result)
        print(file, "is valid", result["eval_type_id"])
else:
    answer = {}
    for name in MODELS:
        schema = model(name).json_schema()
        answer[name] = []
        rules(schema, schema.get("$defs", {}), [], True, answer[name])
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "saebench.json"), "w") as to:
        to.write("{\n" + ",\n".join(json.dumps(k) + ": [\n" + ",\n".join(
            json.dumps(r) for r in v) + "\n]" for k, v in answer.items()) + "\n}\n")
