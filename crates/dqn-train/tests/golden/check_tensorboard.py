"""Writes tensorboard.json: what TensorBoard reads from events.golden, which src/run/tensorboard.rs must have meant.

    UPDATE_GOLDEN=1 cargo test -p dqn-train events_are_the_bytes
    pip install tensorboard==2.21.0
    python check_tensorboard.py
"""

import json
import pathlib
import shutil
import tempfile

import tensorboard
from tensorboard.backend.event_processing import event_accumulator, event_file_loader

FOLDER = pathlib.Path(__file__).parent
FIXTURE = FOLDER / "events.golden"


def number(value):
    """JSON has no word for what is not a number."""
    return value if value == value else "nan"


with tempfile.TemporaryDirectory() as folder:
    # TensorBoard looks at the name.
    path = pathlib.Path(folder) / "events.out.tfevents.000000.dqn-text"
    shutil.copy(FIXTURE, path)

    # Each event by itself, in the order of the file.
    events = [
        {"wall_time": event.wall_time, "step": event.step, "what": event.WhichOneof("what")}
        for event in event_file_loader.LegacyEventFileLoader(str(path)).Load()
    ]

    # What is shown: after the second session began, the first one's later steps are forgotten.
    accumulator = event_accumulator.EventAccumulator(folder, size_guidance={event_accumulator.TENSORS: 0})
    accumulator.Reload()
    scalars = {
        tag: [[event.wall_time, event.step, number(event.value)] for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }
    texts = {
        tag: [
            [event.wall_time, event.step, [text.decode() for text in event.tensor_proto.string_val]]
            for event in accumulator.Tensors(tag)
        ]
        for tag in accumulator.Tags()["tensors"]
        if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "text"
    }

result = {
    "tool": "tensorboard",
    "version": tensorboard.__version__,
    "fixture_bytes": FIXTURE.stat().st_size,
    "events": events,
    "scalars": scalars,
    "texts": texts,
}
(FOLDER / "tensorboard.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
