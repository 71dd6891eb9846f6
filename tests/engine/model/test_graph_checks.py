"""What no graph may contain, anywhere, and what is sound; no backend is used."""

import os

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.graph_checks import check_graph
from lossaudit.engine.model.graph_size import check_size
from lossaudit.engine.model.tensor_checks import check_tensor
from tests.hostile_graphs import model, through, weight

OUTSIDE = weight("../secret.bin")


@pytest.fixture
def check(tmp_path):
    """Checks a graph in a folder of its own, beside a file more.bin of 16 bytes."""

    def of(graph):
        path = tmp_path / "model.onnx"
        path.write_bytes(graph if isinstance(graph, bytes) else graph.SerializeToString())
        return check_graph(path, {"more.bin": 16})

    return of


@pytest.fixture
def refuse(check, refused):
    """Holds that a graph is refused with these words."""

    def of(graph, *parts):
        with refused("model.onnx is ", "export the model again", *parts):
            check(graph)

    return of


def branches(node, name="If", attribute="then_branch"):
    """A classifier behind which an operator with graphs of its own stands, one of which has a node."""
    logits = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    sound = helper.make_graph([helper.make_node("Constant", [], ["out"], value_float=1.0)], "else", [], [logits])
    spoilt = helper.make_graph([node], "then", [], [logits])
    graphs = {"else_branch": sound, attribute: spoilt}
    condition = numpy_helper.from_array(np.array(True), "condition")
    nodes = [
        helper.make_node(name, ["condition"], ["one"], **graphs),
        helper.make_node("MatMul", ["sums", "weight"], ["product"]),
        helper.make_node("Add", ["product", "one"], ["logits"]),
    ]
    return model(nodes, more=[condition])


def constant(**attributes):
    return helper.make_node("Constant", [], ["out"], **attributes)


def sparse(values):
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(4), "places"), [1, 4])


class TestSound:
    def test_weights_inside_and_beside(self, check):
        assert check(model()) == set()
        assert check(model(weights=weight("more.bin"))) == {"more.bin"}

    def test_without_an_offset_or_a_length(self, check):
        tensor = weight("more.bin")
        del tensor.external_data[1:]
        assert check(model(weights=tensor)) == {"more.bin"}

    def test_branches(self, check):
        assert check(branches(constant(value=numpy_helper.from_array(np.float32(1))))) == set()

    @pytest.mark.parametrize("operator", ["Gelu", "Attention", "FusedMatMul", "MatMulNBits"])
    def test_operators_of_onnx_runtime(self, operator, check):
        assert check(model(through(operator, domain="com.microsoft"))) == set()

    def test_a_folder_of_links_to_folders(self, check, tmp_path):
        check(model())
        (tmp_path / "link").symlink_to(tmp_path)
        assert check_graph(tmp_path / "link" / "model.onnx", {}) == set()

    def test_large_weights_inside(self, check):
        assert check(model(more=[numpy_helper.from_array(np.zeros(2**23, np.float32), "large")])) == set()


class TestTensorsWhereverTheyStand:
    """Each in a file outside the folder."""

    def test_initializers(self, refuse):
        refuse(model(weights=OUTSIDE), "its tensor 'weight' lies in '../secret.bin'")

    def test_constants(self, refuse):
        refuse(model(through("Constant", value=OUTSIDE)), "its Constant's tensor 'weight' lies in '../secret.bin'")

    def test_other_operators(self, refuse):
        refuse(model(through("ConstantOfShape", value=OUTSIDE)), "lies in '../secret.bin'")

    def test_attributes_that_the_operator_does_not_have(self, refuse):
        refuse(model(through("Relu", surprise=OUTSIDE)), "its Relu's tensor 'weight' lies in '../secret.bin'")

    def test_lists_of_tensors(self, refuse):
        refuse(model(through("Relu", surprise=[weight(), OUTSIDE])), "lies in '../secret.bin'")

    @pytest.mark.parametrize("kind", [AttributeProto.INT, AttributeProto.UNDEFINED])
    def test_attributes_that_claim_to_be_something_else(self, kind, refuse):
        nodes = through("Relu", surprise=OUTSIDE)
        nodes[-1].attribute[0].type = kind
        refuse(model(nodes), "lies in '../secret.bin'")

    def test_branches(self, refuse):
        refuse(branches(constant(value=OUTSIDE)), "lies in '../secret.bin'")
        graph = branches(constant(value_float=1.0))
        graph.graph.node[2].attribute[1].g.initializer.append(OUTSIDE)
        refuse(graph, "lies in '../secret.bin'")

    def test_sparse_initializers(self, refuse):
        graph = model()
        graph.graph.sparse_initializer.append(sparse(OUTSIDE))
        refuse(graph, "its graph holds sparse_initializer")

    def test_sparse_constants(self, refuse):
        refuse(model(through("Constant", sparse_value=sparse(OUTSIDE))), "'Constant' holds sparse_tensor")
        refuse(model(through("Relu", surprise=[sparse(OUTSIDE)])), "'Relu' holds sparse_tensors")

    def test_functions(self, refuse):
        graph = model()
        opset = [helper.make_opsetid("", 18)]
        graph.functions.append(helper.make_function("own", "F", [], ["out"], [constant(value=OUTSIDE)], opset))
        refuse(graph, "it holds functions")

    def test_training(self, refuse):
        graph = model()
        graph.training_info.add().initialization.initializer.append(OUTSIDE)
        refuse(graph, "it holds training_info")


class TestOperators:
    @pytest.mark.parametrize("operator", ["Loop", "Scan", "SequenceMap"])
    def test_graphs_of_other_operators(self, operator, refuse):
        refuse(branches(constant(value_float=1.0), operator, "body"), f"'{operator}' has a graph of its own")

    def test_other_graphs_of_a_branch(self, refuse):
        refuse(branches(constant(value_float=1.0), attribute="body"), "'If' has a graph of its own")

    def test_lists_of_graphs(self, refuse):
        body = branches(constant(value_float=1.0)).graph
        refuse(model(through("Relu", surprise=[body])), "'Relu' holds graphs")

    @pytest.mark.parametrize("operator", ["Evil", "", "relu", "ImageDecoder", "\N{CYRILLIC SMALL LETTER A}"])
    def test_unknown_ones_of_the_standard(self, operator, refuse):
        refuse(model(through(operator)), "which lossaudit doesn't know")
        refuse(branches(helper.make_node(operator, [], ["out"])), "which lossaudit doesn't know")

    @pytest.mark.parametrize("operator", ["EPContext", "BeamSearch", "Tokenizer", "CDist", "Relu"])
    def test_unknown_ones_of_onnx_runtime(self, operator, refuse):
        refuse(model(through(operator, domain="com.microsoft")), f"operator 'com.microsoft:{operator}'")

    @pytest.mark.parametrize(
        "domain", ["ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "org.pytorch.aten", "com.microsoft.nchwc", " "]
    )
    def test_other_domains(self, domain, refuse):
        refuse(model(through("Relu", domain=domain)), f"operator '{domain}:Relu'")

    def test_names_with_what_a_terminal_obeys(self, refuse):
        refuse(model(through("\x1b[31m\nError" + "x" * 10_000)), r"\x1b[31m\nError")


SIZES = [
    ("FLOAT", 5, 20), ("DOUBLE", 5, 40), ("FLOAT16", 5, 10), ("BFLOAT16", 5, 10), ("FLOAT8E4M3FN", 5, 5),
    ("FLOAT8E5M2", 5, 5), ("INT64", 5, 40), ("INT32", 5, 20), ("INT8", 5, 5), ("UINT8", 5, 5), ("BOOL", 5, 5),
    ("INT4", 5, 3), ("UINT4", 4, 2), ("INT4", 1, 1), ("FLOAT", 0, 0), ("INT4", 0, 0),
]  # fmt: skip
TYPED = [
    ("FLOAT", "float_data", 5), ("DOUBLE", "double_data", 5), ("INT64", "int64_data", 5), ("UINT64", "uint64_data", 5),
    ("UINT32", "uint64_data", 5), ("INT8", "int32_data", 5), ("BOOL", "int32_data", 5), ("FLOAT16", "int32_data", 5),
    ("BFLOAT16", "int32_data", 5), ("FLOAT8E4M3FN", "int32_data", 5), ("INT4", "int32_data", 3),
    ("STRING", "string_data", 5),
]  # fmt: skip


def tensor(kind, count, **fields):
    return TensorProto(name="t", data_type=TensorProto.DataType.Value(kind), dims=[count], **fields)


class TestSizes:
    @pytest.mark.parametrize(("kind", "count", "size"), SIZES)
    def test_bytes(self, kind, count, size):
        assert check_tensor(tensor(kind, count, raw_data=bytes(size)), {}) is None
        for other in {size - 1, size + 1, 2 * size + 1} - {-1}:
            with pytest.raises(ValueError, match="need"):
                check_tensor(tensor(kind, count, raw_data=bytes(other)), {})

    @pytest.mark.parametrize(("kind", "count", "size"), SIZES)
    def test_bytes_in_a_file(self, kind, count, size):
        place = {"location": "a.bin", "offset": "8", "length": str(size)}
        found = tensor(kind, count, data_location=TensorProto.EXTERNAL)
        for key, text in place.items():
            found.external_data.add(key=key, value=text)
        assert check_tensor(found, {"a.bin": size + 8}) == "a.bin"
        with pytest.raises(ValueError, match="ends at byte"):
            check_tensor(found, {"a.bin": size + 7})
        found.dims[0] += 4
        with pytest.raises(ValueError, match="need"):
            check_tensor(found, {"a.bin": 1000})

    @pytest.mark.parametrize(("kind", "field", "entries"), TYPED)
    def test_entries(self, kind, field, entries):
        one = b"x" if kind == "STRING" else 1
        assert check_tensor(tensor(kind, 5, **{field: [one] * entries}), {}) is None
        for other in (0, entries - 1, entries + 1):
            with pytest.raises(ValueError, match="need"):
                check_tensor(tensor(kind, 5, **{field: [one] * other}), {})

    @pytest.mark.parametrize(
        ("spoilt", "says"),
        [
            ({"data_type": 0}, "type UNDEFINED"),
            ({"data_type": 14}, "type COMPLEX64"),
            ({"data_type": 1000}, "type 1000"),
            ({"dims": [-1]}, "an axis of -1"),
            ({"dims": [0, 2**62, 2**62]}, "an axis of"),
            ({"dims": [1] * 10_000}, "10,000 axes"),
            ({"float_data": [1.0] * 4}, "has data in float_data"),
            ({"data_type": 8}, "has data in raw_data"),
            ({"segment": TensorProto.Segment(begin=0, end=4)}, "holds segment"),
            ({"external_data": [{"key": "location", "value": "a.bin"}]}, "names a file that doesn't hold it"),
            ({"data_location": TensorProto.EXTERNAL}, "both in a file and in the graph"),
        ],
        ids=lambda spoilt: next(iter(spoilt)) if isinstance(spoilt, dict) else None,
    )
    def test_other_faults(self, spoilt, says):
        found = TensorProto(**({"data_type": 1, "dims": [4], "raw_data": bytes(16)} | spoilt))
        with pytest.raises(ValueError, match=says):
            check_tensor(found, {"a.bin": 100})

    @pytest.mark.parametrize(
        "entries",
        [
            [],
            [("offset", "0"), ("length", "16")],
            [("location", "a.bin"), ("location", "a.bin")],
            [("location", "a.bin"), ("prepacked_0", "x")],
            [("location", "a.bin"), ("basepath", "/etc")],
            *([("location", "a.bin"), (key, text)] for key in ("offset", "length") for text in
              ("", " 0", "+16", "-1", "0x10", "1_6", "1e1", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000)),
        ],
    )  # fmt: skip
    def test_places_that_are_none(self, entries):
        found = TensorProto(data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
        for key, text in entries:
            found.external_data.add(key=key, value=text)
        with pytest.raises(ValueError):
            check_tensor(found, {"a.bin": 16})

    def test_words_in_a_file(self):
        found = tensor("STRING", 4, data_location=TensorProto.EXTERNAL)
        found.external_data.add(key="location", value="a.bin")
        with pytest.raises(ValueError, match="strings in a file"):
            check_tensor(found, {"a.bin": 16})


def record(number, content):
    """A field of protobuf whose length is counted."""
    size, length = len(content), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def nested(depth):
    """Branches in branches, written by hand, since protobuf wouldn't."""
    content = record(4, b"If")
    for _ in range(depth):
        content = record(4, b"If") + record(5, record(1, b"then_branch") + record(6, record(1, content)))
    return record(7, record(1, content))


class TestProtobuf:
    """Bytes that no exporter wrote."""

    @pytest.mark.parametrize("cut", [1, 10, 100, 200])
    def test_cut_short(self, cut, refuse):
        refuse(model().SerializeToString()[:-cut])

    @pytest.mark.parametrize("depth", [5, 30, 1000, 3000])
    def test_branches_without_end(self, depth, refuse):
        refuse(nested(depth))

    def test_many_records(self, refuse):
        refuse(record(7, record(1, b"") * 3_000_000), "more than 500,000 records")

    def test_many_operators(self, refuse):
        refuse(
            record(7, record(1, record(4, b"Relu")) * 200_000), "more than 100,000 operators, attributes and tensors"
        )

    def test_many_attributes(self, refuse):
        many = "more than 100,000 operators, attributes and tensors"
        refuse(record(7, record(1, record(4, b"Relu") + record(5, b"") * 200_000)), many)
        tensors = record(5, record(10, bytes([1 << 3, 0, 2 << 3, 1])) * 200_000)
        refuse(record(7, record(1, record(4, b"Relu") + tensors)), many)
        refuse(record(7, record(1, record(4, b"Relu") + record(5, b"") * 10_000_000)), "besides its weights")

    def test_megabytes_of_a_name(self, refuse):
        refuse(record(7, record(2, b"a" * 2**25)), "33,554,4", "bytes besides its weights")

    def test_weights_that_are_none_of_a_tensor(self, refuse):
        refuse(record(7, record(1, record(9, b"a" * 2**25))), "besides its weights")

    def test_fields_that_onnx_does_not_have(self, refuse):
        refuse(model().SerializeToString() + record(15, b"later"), "doesn't know")
        tensor_of_another_place = weight().SerializeToString() + bytes([14 << 3, 7])  # an unknown data_location
        refuse(record(7, record(5, tensor_of_another_place) + record(1, record(4, b"Relu"))), "doesn't know")

    def test_names_that_are_not_text(self, refuse):
        for number in (4, 7):
            refuse(record(7, record(1, record(4, b"Relu") + record(number, b"\xff\xfe"))))
        place = record(13, record(1, b"location") + record(2, b"\xff"))
        spoilt = weight().SerializeToString() + bytes([14 << 3, 1]) + place
        refuse(record(7, record(1, record(4, b"Relu")) + record(5, spoilt)))

    def test_nothing(self, refuse):
        refuse(b"", "it holds no operators")
        refuse(record(7, b""), "it holds no operators")

    def test_noise(self, refuse):
        for _ in range(50):
            refuse(os.urandom(2000))

    def test_more_than_two_gigabytes(self):
        class Huge(bytes):
            def __len__(self):
                return 2**31

        with pytest.raises(ValueError, match="larger than 2 GB"):
            check_size(Huge())

    def test_a_file_that_is_not_there(self, tmp_path, refused):
        with refused("model.onnx can't be read"):
            check_graph(tmp_path / "model.onnx", {})


def test_every_spoilt_byte_of_a_graph_is_sound_or_told(check):
    """No byte that is changed comes to another error."""
    whole = branches(constant(value=numpy_helper.from_array(np.float32(1)))).SerializeToString()
    told = 0
    for place in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            spoilt = bytearray(whole)
            spoilt[place] ^= change
            try:
                check(bytes(spoilt))
            except LossAuditError:
                told += 1
    assert 0 < told < 3 * len(whole)
