"""The doctor: facts about the machine and installed distributions, the checks on them, and the speed test."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from lossaudit.engine.cpus import instructions
from lossaudit.engine.doctor import checks as doctor
from lossaudit.engine.doctor import machine as doctor_machine
from lossaudit.engine.doctor import software as doctor_software
from lossaudit.engine.doctor import speed as doctor_bundle
from lossaudit.engine.doctor.checks import BundleFacts, Facts, judged, judged_bundle
from lossaudit.engine.doctor.machine import Cpus, Memory
from lossaudit.engine.doctor.software import Build, CudaLibraries, Installed, Package, Runtime
from lossaudit.engine.model.bundle import Bundle, Graph

RESULTS = Path(__file__).parents[3] / "bench" / "results"
CORE = "onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so"
IN_ORDER = Runtime((), (), "1.32.0", ("CPUExecutionProvider",), None, None)
CPU = Cpus("A CPU", {"AVX2": True, "AVX-512 VNNI": True, "AVX-VNNI": False}, 8, 8, 8)
FACTS = Facts(CPU, Memory(8 * 10**9, 4 * 10**9, None), IN_ORDER, None, None, ())
GPU = CudaLibraries("12.8", driver=True, found=(), missing=())


def judge(name, **facts):
    """The check of this name where these facts are otherwise than in order."""
    (check,) = [check for check in judged(replace(FACTS, **facts)) if check.name == name]
    return check


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Speed tests of hundredths of a second: only that there are figures matters here."""
    monkeypatch.setattr(doctor_bundle, "SECONDS", 0.04)


@pytest.fixture
def install(tmp_path):
    """Writes a distribution's files and its metadata into the test's own site-packages, as pip does."""
    site = tmp_path / "site-packages"

    def write(name, version="1.32.0", files=None, requires=(), extras=()):
        record = []
        for path, content in (files or {}).items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(content)
            digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(content)}")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        (info / "RECORD").write_text("\n".join(record) + "\n")
        return [str(site)]

    return write


class TestMachine:
    def test_the_instructions_of_x86(self, write_file):
        file = write_file("cpuinfo", "model name\t: A CPU\nflags\t\t: fpu avx2 avx512_vnni amx_int8\n\nflags : fpu\n")
        features = instructions(file)
        assert [name for name, there in features.items() if there] == ["AVX2", "AVX-512 VNNI", "AMX-INT8"]
        assert {"AVX-512F", "AVX-VNNI", "AVX-512 BF16", "AMX-TILE", "AMX-BF16"} < set(features)

    def test_the_instructions_of_arm(self, write_file):
        file = write_file("cpuinfo", "processor : 0\nFeatures : fp asimd asimddp sve\n")
        assert instructions(file) == {"dot product": True, "I8MM": False, "BF16": False, "SVE": True}

    def test_another_system_does_not_tell_them(self, tmp_path):
        assert instructions(tmp_path / "cpuinfo") is None

    def test_the_least_limit_of_a_cgroup_and_those_above_it(self, write_file, tmp_path):
        write_file("v2/jobs/mine/memory.max", "max\n")
        write_file("v2/jobs/memory.max", "3000\n")
        write_file("v2/memory.max", "9000\n")
        membership = write_file("cgroup", "0::/jobs/mine\n")
        assert doctor_machine.cgroup_limit(10_000, tmp_path / "v2", membership) == 3000
        assert doctor_machine.cgroup_limit(3000, tmp_path / "v2", membership) is None

    def test_the_limit_of_the_older_cgroups(self, write_file, tmp_path):
        write_file("v1/memory/jobs/memory.limit_in_bytes", "5000\n")
        write_file("v1/memory/memory.limit_in_bytes", "9223372036854771712\n")
        membership = write_file("cgroup", "7:cpu,cpuacct:/other\n4:memory:/jobs\n")
        assert doctor_machine.cgroup_limit(10_000, tmp_path / "v1", membership) == 5000

    def test_this_machine(self):
        cpu, memory = doctor_machine.cpu(), doctor_machine.memory()
        assert 1 <= cpu.usable <= cpu.by_affinity <= cpu.of_machine == os.cpu_count()
        assert memory.at_hand is None or memory.at_hand > 0


class TestOnnxRuntime:
    def test_two_builds_that_own_the_same_files_clash(self, install):
        install("onnxruntime", files={"onnxruntime/__init__.py": b"", CORE: b"for the CPU"})
        path = install("onnxruntime-gpu", files={"onnxruntime/__init__.py": b"", CORE: b"for the GPU, and larger"})
        runtime = Installed(path).onnxruntime()
        assert runtime.clash == ("onnxruntime", "onnxruntime-gpu")
        assert {build.name: build.in_place for build in runtime.builds} == {
            "onnxruntime": False,
            "onnxruntime-gpu": True,
        }
        check = judge("onnxruntime", onnxruntime=runtime)
        assert check.state == doctor.PROBLEM
        assert "onnxruntime and onnxruntime-gpu own the same files" in check.finding
        assert "the files now there are onnxruntime-gpu's" in check.finding
        assert check.advice == doctor.TO_CPU
        assert judge("onnxruntime", onnxruntime=runtime, cuda=GPU).advice == doctor.TO_GPU

    def test_the_repair_is_that_of_the_documents(self):
        assert doctor.TO_GPU in (RESULTS.parents[1] / "docs" / "install.md").read_text(encoding="utf-8")

    def test_one_build_is_in_order(self, install):
        path = install("onnxruntime", files={"onnxruntime/__init__.py": b"", CORE: b"x"})
        runtime = Installed(path).onnxruntime()
        assert runtime.clash == ()
        assert judge("onnxruntime", onnxruntime=runtime).state == doctor.OK

    def test_files_that_another_build_took_away(self, install, tmp_path):
        path = install("onnxruntime-gpu", files={"onnxruntime/__init__.py": b"", CORE: b"x"})
        (tmp_path / "site-packages" / CORE).unlink()
        check = judge("onnxruntime", onnxruntime=Installed(path).onnxruntime(), cuda=GPU)
        assert check.state == doctor.PROBLEM
        assert "onnxruntime-gpu lacks files that it installed: 1" in check.finding
        assert check.advice == "pip install --force-reinstall --no-deps onnxruntime-gpu==1.32.0"

    def test_a_package_of_another_module_is_no_build(self, install):
        path = install("onnxruntime-genai", files={"onnxruntime_genai/__init__.py": b""})
        assert Installed(path).onnxruntime().builds == ()

    def test_a_module_that_cannot_be_imported(self):
        check = judge("onnxruntime", onnxruntime=replace(IN_ORDER, fault="cannot open shared object file"))
        assert check.state == doctor.PROBLEM
        assert "cannot open shared object file" in check.finding

    def test_the_one_here(self):
        import onnxruntime

        runtime = Installed().onnxruntime()
        assert runtime.version == onnxruntime.__version__
        assert runtime.providers == tuple(onnxruntime.get_available_providers())
        assert [build.files_missing for build in runtime.builds] == [0]
        assert runtime.fault is None


class TestCuda:
    @pytest.mark.parametrize(
        ("built_for", "needed"),
        [
            ("13.0", {"libcudart.so.13", "libcufft.so.12"}),
            ("12.8", {"libcudart.so.12", "libcufft.so.11", "libcudnn.so.9"}),
        ],
    )
    def test_a_build_for_a_later_cuda_needs_its_libraries(self, built_for, needed):
        cuda = doctor_software.cuda(built_for)
        assert needed < {*cuda.found, *cuda.missing} or sys.platform != "linux"

    @pytest.mark.skipif(sys.platform != "linux", reason="nothing is known of CUDA elsewhere")
    def test_a_library_that_the_system_loads_is_found(self, tmp_path):
        """Any library will do: the loader goes by the file's name."""
        maps = Path("/proc/self/maps").read_text().splitlines()
        library = next(line.split()[-1] for line in maps if "libm.so.6" in line)
        shutil.copy(library, tmp_path / "libcurand.so.10")
        code = "from lossaudit.engine.doctor.software import cuda; print(cuda('12.8').found)"
        environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert "libcurand.so.10" in found.stdout

    def test_a_library_in_a_package_is_found(self, write_file, tmp_path, monkeypatch):
        before = doctor_software.cuda("12.8")
        write_file("nvidia/cudnn/lib/libcudnn.so.9", b"")
        write_file("nvidia/__init__.py", "")
        monkeypatch.syspath_prepend(tmp_path)
        cuda = doctor_software.cuda("12.8")
        assert "libcudnn.so.9" in cuda.found or sys.platform != "linux"
        assert set(cuda.missing) == set(before.missing) - {"libcudnn.so.9"}

    @pytest.mark.parametrize(
        ("cuda", "state", "said"),
        [
            (CudaLibraries("12.8", True, ("libcudnn.so.9",), ()), doctor.OK, "built for CUDA 12.8"),
            (CudaLibraries("12.8", True, (), ("libcudnn.so.9",)), doctor.PROBLEM, "not found: libcudnn.so.9"),
            (CudaLibraries("12.8", False, (), ()), doctor.PROBLEM, "no NVIDIA driver"),
        ],
    )
    def test_what_is_said_of_it(self, cuda, state, said):
        check = judge("cuda", cuda=cuda)
        assert check.state == state
        assert said in check.finding


class TestPackages:
    REQUIRES = (
        "click>=8",
        "onnxruntime>=1.22",
        'torch>=2.6; extra == "export"',
        'lossaudit[export]; extra == "demo"',
        'corpus; extra == "demo"',
    )

    def packages(self, install, **versions):
        for name, version in versions.items():
            install(name, version)
        path = install("lossaudit", "0.1.0", requires=self.REQUIRES, extras=("export", "demo"))
        return Installed(path).packages()

    def test_of_the_base_install_and_of_extras_made_of_extras(self, install):
        found = self.packages(install, click="8.5", onnxruntime="1.32", torch="2.13.0+cpu")
        assert [(package.name, package.extra, package.fits) for package in found] == [
            ("click", None, True),
            ("onnxruntime", None, True),
            ("torch", "export", True),
            ("torch", "demo", True),
            ("corpus", "demo", False),
        ]
        assert judge("packages", packages=found).state == doctor.OK
        assert [(extra.name, extra.installed, extra.missing) for extra in doctor_software.extras(found)] == [
            ("export", True, ()),
            ("demo", False, ("corpus",)),
        ]

    def test_one_that_is_too_old_and_one_that_is_missing(self, install):
        check = judge("packages", packages=self.packages(install, click="7.1"))
        assert check.state == doctor.PROBLEM
        assert "click 7.1 (wanted: >=8)" in check.finding
        assert "onnxruntime is missing" in check.finding
        assert check.advice == "pip install 'click>=8' 'onnxruntime>=1.22'"

    def test_one_that_only_an_extra_wants_otherwise_is_a_note(self, install):
        check = judge("packages", packages=self.packages(install, click="8.5", onnxruntime="1.32", torch="2.0"))
        assert check.state == doctor.NOTE
        assert "torch 2.0 (wanted: >=2.6); needed for the extra demo, export" in check.finding

    def test_another_build_of_onnxruntime_does_as_well(self, install):
        install("onnxruntime-gpu", "1.32.0", files={"onnxruntime/__init__.py": b""})
        found = self.packages(install, click="8.5")
        assert Package("onnxruntime", "1.32.0", ">=1.22", True, None) in found


class TestChecks:
    def test_why_fewer_cpus_may_be_used(self):
        assert judge("cpus").state == doctor.OK
        check = judge("cpus", cpu=replace(CPU, by_affinity=4, usable=2))
        assert check.state == doctor.NOTE
        assert "2 of 8 CPUs" in check.finding
        assert "4 of them (affinity)" in check.finding
        assert "quota is 2" in check.finding

    def test_instructions(self):
        assert judge("instructions").state == doctor.OK
        without = replace(CPU, features={"AVX2": True, "AVX-512 VNNI": False})
        assert judge("instructions", cpu=without).state == doctor.NOTE
        assert "can't be known" in judge("instructions", cpu=replace(CPU, features=None)).finding

    def test_memory(self):
        assert judge("memory").state == doctor.OK
        check = judge("memory", memory=Memory(8 * 10**9, 4 * 10**9, 5 * 10**8))
        assert check.state == doctor.NOTE
        assert "0.5 GB allowed by the cgroup" in check.finding
        assert judge("memory", memory=Memory(None, None, None)).state == doctor.NOTE

    def test_openvino_is_recommended_where_it_would_be_faster(self):
        check = judge("openvino")
        assert check.state == doctor.NOTE
        assert f"{doctor.OPENVINO_SPEEDUP} ×" in check.finding
        assert judge("openvino", openvino="2026.4").state == doctor.OK
        assert judge("openvino", cpu=replace(CPU, features={"AVX2": True})).state == doctor.OK

    def test_the_recommendation_is_what_was_measured(self):
        speeds = {}
        (page,) = RESULTS.glob("distilbert-base-bbc-amd-epyc-family-26-*.md")
        for row in page.read_text(encoding="utf-8").splitlines():
            if found := re.match(r"\| (ours-int8|ours-int8-openvino) \| [\d.]+ \([^)]*\) \| ([\d.]+) \|", row):
                speeds.setdefault(found[1], float(found[2]))
        assert round(speeds["ours-int8-openvino"] / speeds["ours-int8"], 1) == doctor.OPENVINO_SPEEDUP


class TestBundle:
    def test_each_graph_is_measured_on_each_backend_that_runs_it(self, bundle_folder):
        bundle = Bundle.load(bundle_folder)
        test = doctor_bundle.speed_test(bundle, cpus=1, seconds=0.04)
        assert {speed.graph for speed in test.speeds if speed.backend == "cpu"} == {
            graph.name for graph in bundle.manifest.graphs if "cpu" in graph.backends
        }
        assert all(speed.tokens_per_second > 0 and speed.fault is None for speed in test.speeds)
        for speed in test.speeds:
            assert speed.texts_per_second == pytest.approx(speed.tokens_per_second / test.tokens_per_text)
        assert test.choice.precision in ("fp32", "exact-top")
        assert test.choice.first.tokens_per_second is not None

    def test_where_cuda_is_installed_it_is_told_whether_there_is_an_fp16_graph(self, bundle_folder, monkeypatch):
        assert "fp16" not in [check.name for check in doctor.diagnose(bundle_folder).checks]
        gpu = replace(IN_ORDER, builds=(Build("onnxruntime-gpu", "1.32.0", 0, True),))
        monkeypatch.setattr(Installed, "onnxruntime", lambda self: gpu)
        (check,) = [check for check in doctor.diagnose(bundle_folder).checks if check.name == "fp16"]
        assert (check.state, check.advice) == (doctor.NOTE, "export the model again with fp16=True")

    def test_what_is_said_of_the_fp16_graph(self, bundle_folder):
        manifest = Bundle.load(bundle_folder).manifest
        half = Graph("fp16", "model.fp16.onnx", "fp16", ("cuda",), (), 0.00012)
        with_it = replace(manifest, graphs=(*manifest.graphs, half))
        check = judged_bundle(BundleFacts("bundle", with_it, 1), for_gpu=True)[-1]
        assert (check.name, check.state) == ("fp16", doctor.OK)
        assert "1.2e-04 from fp32's" in check.finding
        without = replace(manifest, left_out={"fp16": "its activations reach 100,000"})
        check = judged_bundle(BundleFacts("bundle", without, 1), for_gpu=True)[-1]
        assert (check.state, check.advice) == (doctor.NOTE, None)
        assert check.finding.endswith("its activations reach 100,000")

    def test_the_sample_has_texts_of_many_lengths_within_the_maximum(self, bundle_folder):
        bundle = Bundle.load(bundle_folder)
        lengths = doctor_bundle.built_in_sample(bundle).lengths
        assert lengths.max() == bundle.manifest.max_length
        assert len(set(lengths.tolist())) >= 4

    def test_a_graph_that_does_not_run_is_said(self, bundle_copy):
        bundle = Bundle.load(bundle_copy)
        (bundle.file_of("fp32")).write_bytes(b"no graph")
        test = doctor_bundle.speed_test(bundle, cpus=1, seconds=0.02)
        assert "model.onnx" in next(speed.fault for speed in test.speeds if speed.graph == "fp32")
        assert test.choice is None
        (*_, check) = judged_bundle(BundleFacts(str(bundle_copy), bundle.manifest, 1, test), for_gpu=False)
        assert (check.name, check.state) == ("speed", doctor.PROBLEM)

    def test_nothing_is_kept_that_an_audit_would_take_for_measured(self, bundle_folder):
        from lossaudit.engine.model.caches import kept

        before = kept()
        doctor_bundle.speed_test(Bundle.load(bundle_folder), cpus=1, seconds=0.02)
        assert kept() == before

    def test_a_damaged_bundle(self, bundle_copy):
        (bundle_copy / "weights.bin").write_bytes(b"other weights")
        found = doctor.diagnose(bundle_copy)
        assert found.bundle.manifest is None
        (check,) = [check for check in found.checks if check.name == "bundle"]
        assert check.state == doctor.PROBLEM
        assert "weights.bin is damaged" in check.finding


def test_the_diagnosis_is_json_whose_names_stay():
    found = json.loads(json.dumps(doctor.diagnose().to_dict()))
    assert set(found) == {
        *("lossaudit", "python", "system", "cpu", "memory", "onnxruntime", "cuda", "openvino", "packages", "extras"),
        *("caches", "bundle", "checks", "problems"),
    }
    names = [check["name"] for check in found["checks"]]
    assert [*names[:4], *names[-4:]] == [
        *("cpus", "instructions", "memory", "onnxruntime"),
        *("openvino", "packages", "extras", "privacy"),
    ]
    assert found["problems"] == sum(check["state"] == "problem" for check in found["checks"])


def test_the_document_lists_every_field_and_check(bundle_folder):
    document = (RESULTS.parents[1] / "docs" / "doctor.md").read_text(encoding="utf-8")
    found = doctor.diagnose(bundle_folder).to_dict()
    for name in [*found, *(check["name"] for check in found["checks"]), "cuda", "fp16"]:
        assert f"`{name}`" in document
