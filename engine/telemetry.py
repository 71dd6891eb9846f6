"""Turns off the telemetry of the libraries behind lossaudit (docs/privacy.md).

They read their switches from the environment when they are imported, so this runs first. A switch that a person has
set stays as it is.
"""

import os
import sys

SWITCHES = {
    "ARGILLA_ENABLE_TELEMETRY": "0",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment variables, with the values that stop all sending: by Argilla's client, several libraries at once,
huggingface_hub, datasets, ONNX Runtime and Ray."""


def turn_off() -> None:
    """Sets the switches; libraries that are already imported are told by their own means, where they have any."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    # OpenVINO has no switch: it sends what it does if this package can be imported and nobody has refused in a dialog.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if (onnxruntime := sys.modules.get("onnxruntime")) and os.environ["ORT_DISABLE_TELEMETRY"] == "1":
        # Versions before 1.29 send events only on Windows, but have the function everywhere.
        onnxruntime.disable_telemetry_events()
    if (config := sys.modules.get("datasets.config")) and os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] == "0":
        config.HF_UPDATE_DOWNLOAD_COUNTS = False  # type: ignore[attr-defined]
    if (constants := sys.modules.get("huggingface_hub.constants")) and os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1":
        constants.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]


def changed() -> dict[str, str]:
    """The switches that a person has set to another value, with that value."""
    return {name: os.environ[name] for name, value in SWITCHES.items() if os.environ.get(name, value) != value}
