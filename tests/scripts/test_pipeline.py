"""train.sh, generate.sh, score.sh and average.sh: what they run, what they refuse, and that stopping loses nothing."""

import fcntl
import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch
from fairseq import checkpoint_utils, options
from pipeline_tools import (
    ARCH,
    ROOT,
    TINY,
    environment,
    newest_updates,
    parameters,
    script,
    sentences,
    snapshot,
    train_arguments,
    wait_for,
    write_pair,
)
from several_processes import forked_ranks
from zygote import quick_python


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """A run from start to end in one go."""
    save_dir = tmp_path_factory.mktemp("runs") / "plain run"
    output = script("scripts/train.sh", *train_arguments(data, save_dir), "--", *TINY)
    return save_dir, output


def test_progress_says_how_far_and_how_long(undisturbed):
    save_dir, output = undisturbed
    assert "effective batch: 200 tokens x 1 CPU process(es) x update-freq 1 = 200 tokens an update" in output
    assert re.search(r"\d+/24 updates \(\d+ %\)", output)
    assert re.search(r"valid after 24 updates: loss [\d.]+", output)
    assert json.loads((save_dir / "done").read_text())["updates"] == 24
    assert json.loads((save_dir / "progress.json").read_text())["seconds"] > 0
    run = json.loads((save_dir / "run.json").read_text())
    assert (run["arch"], run["seed"], run["versions"]["torch"]) == (ARCH, "1", torch.__version__)
    assert "num. shared model params" in (save_dir / "train.log").read_text()


def test_command_sh_is_the_command(undisturbed):
    save_dir, _ = undisturbed
    *_, last = (save_dir / "command.sh").read_text().splitlines()
    assert shlex.split(last) == json.loads((save_dir / "run.json").read_text())["command"]


def test_killed_stopped_and_truncated_equals_undisturbed(data, undisturbed, tmp_path):
    """SIGKILL, SIGINT and a half-written checkpoint_last.pt: the parameters end bit-identical."""
    save_dir = tmp_path / "disturbed run"
    arguments = [*train_arguments(data, save_dir), "--resume", "--", *TINY]
    command = ["bash", str(ROOT / "scripts/train.sh"), *map(str, arguments)]

    env = environment(PYTHON=str(forked_ranks(tmp_path)))

    def start():
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    process = start()
    wait_for(save_dir / "checkpoint_1_8.pt", process)
    process.kill()  # the watcher; its command must not survive it and train on
    process.communicate()

    process = start()
    wait_for(save_dir / "checkpoint_1_16.pt", process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130, output
    assert "going on from" in output
    stopped = re.search(
        r"stopped after (\d+) updates, checkpoint saved; the same command with --resume goes on", output
    )
    assert 16 <= int(stopped[1]) < 24
    assert newest_updates(save_dir) == int(stopped[1])
    assert not (save_dir / "done").exists()

    last = save_dir / "checkpoint_last.pt"
    os.truncate(last, last.stat().st_size // 2)
    output = script("scripts/train.sh", *arguments)
    assert "checkpoint_last.pt" in output  # said to be unreadable
    assert re.search(r"going on from .*checkpoint_1_\d+\.pt \(\d+ updates\)", output)
    assert output.rstrip().splitlines()[-1].startswith("train.sh: finished: 24 updates")

    expected, found = parameters(undisturbed[0] / "checkpoint_last.pt"), parameters(last)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    best = [checkpoint_utils.load_checkpoint_to_cpu(str(d / "checkpoint_best.pt")) for d in (undisturbed[0], save_dir)]
    assert best[0]["extra_state"]["best"] == best[1]["extra_state"]["best"]

    before = (save_dir / "train.log").read_text()
    assert "is finished (24 updates); nothing to do" in script("scripts/train.sh", *arguments)
    assert (save_dir / "train.log").read_text() == before


def test_lost_marker_and_lost_best_are_made_again(data, undisturbed, tmp_path):
    """Killed between the last checkpoint and what follows: not one update more, and the best is there."""
    save_dir = tmp_path / "run"
    save_dir.mkdir()
    for name in ("checkpoint_last.pt", "train.log"):
        (save_dir / name).write_bytes((undisturbed[0] / name).read_bytes())
    state = checkpoint_utils.load_checkpoint_to_cpu(str(save_dir / "checkpoint_last.pt"))
    state["extra_state"]["best"] = state["extra_state"]["val_loss"]
    torch.save(state, save_dir / "checkpoint_last.pt")
    (save_dir / "checkpoint_best.pt.tmp").write_text("left over")

    resume_point = [quick_python(), str(ROOT / "scripts/resume_point.py"), str(save_dir), "24", "0"]
    environ = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(resume_point, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "finished 24\n"
    assert parameters(save_dir / "checkpoint_best.pt").keys() == state["model"].keys() - {
        name for name in state["model"] if name.endswith("_float_tensor")
    }
    assert not (save_dir / "checkpoint_best.pt.tmp").exists()
    # the marker answers now, without a look at the checkpoints; other limits are another question
    (save_dir / "checkpoint_last.pt").unlink()
    assert subprocess.run(resume_point, env=environ, capture_output=True, text=True, check=True).stdout == done.stdout


def test_failed_training_fails(data, tmp_path):
    arguments = train_arguments(data, tmp_path / "run")
    output = script(
        "scripts/train.sh",
        *arguments,
        "--",
        "--criterion",
        "label_smoothed_cross_entropy",
        "--no-such-option",
        status=2,
    )
    assert "unrecognized arguments: --no-such-option" in output
    assert "training failed with status 2 after 0 updates" in output
    assert not (tmp_path / "run" / "done").exists()


def test_second_training_in_the_same_folder_is_refused(tmp_path):
    save_dir = tmp_path / "run"
    save_dir.mkdir()
    with open(save_dir / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4321\n")
        lock.flush()
        watch = (
            "import sys; sys.argv = ['watch', '--save-dir', sys.argv[1], '--', 'true']; "
            f"sys.path.insert(0, {str(ROOT / 'scripts')!r}); import watch_training as w; "
            "w.LOCK_WAIT = 0; sys.exit(w.main())"
        )
        command = [quick_python(), "-c", watch, str(save_dir)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert f"a training is running in {save_dir} (process 4321)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["--arch", "a", "--save-dir", "d"], "which data?", 2),
        (["{data}", "--save-dir", "d"], "which model?", 2),
        (["{data}", "--arch", "a"], "where to?", 2),
        (["{data}", "--arch", "a", "--save-dir", "d", "--lr", "1"], "options of fairseq-train go after --", 2),
        (
            ["{data}", "--arch", "a", "--save-dir", "d", "--", "--max-tokens", "9"],
            "--max-tokens is set by this script",
            2,
        ),
        (["{data}", "--arch", "a", "--save-dir", "d", "--", "--seed=9"], "--seed is set by this script", 2),
        (["{data}", "--arch", "a", "--save-dir", "d", "--max-update", "-1"], "--max-update needs a number", 2),
        (["{data}", "--arch", "a", "--save-dir", "d", "--gpus", "two"], "--gpus needs a number", 2),
        (["{data}", "--arch", "a", "--save-dir", "d", "--seed"], "--seed needs a value", 2),
        (
            ["{data}", "--arch", "a", "--save-dir", "d", "--gpus", "1", "--processes", "2"],
            "--processes is for the CPU",
            2,
        ),
        (["nowhere", "--arch", "a", "--save-dir", "d", "--cpu"], "no folder nowhere", 1),
        (["{empty}", "--arch", "a", "--save-dir", "d", "--cpu"], "holds no dict*.txt", 1),
        (["{data}", "--arch", "a", "--save-dir", "{full}", "--cpu"], "is not empty; add --resume", 1),
        (["{data}", "--arch", "a", "--save-dir", "{full}/something/x", "--cpu"], "x; choose another --save-dir", 1),
    ],
)
def test_train_refuses(data, tmp_path, arguments, message, status):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    (tmp_path / "empty").mkdir()
    places = {"data": data / "bin", "full": tmp_path / "full", "empty": tmp_path / "empty"}
    before = snapshot(tmp_path)
    arguments = [argument.format(**places) for argument in arguments]
    assert message in script("scripts/train.sh", *arguments, status=status, cwd=tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_log_that_finds_no_room(tmp_path):
    (tmp_path / "train.log").symlink_to("/dev/full")
    watcher = [sys.executable, ROOT / "scripts" / "watch_training.py", "--save-dir", tmp_path, "--", "sleep", "60"]
    ended = subprocess.run([str(word) for word in watcher], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert f"error: No space left on device ({tmp_path}); once the cause is gone, the same command" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_a_training_prints_outlives_its_watcher(tmp_path):
    """In a pipe it would be lost: a checkpoint could then be ahead of the log, and a validation lack in the curve."""
    command = ["sh", "-c", f"trap '' TERM; echo first; touch '{tmp_path}/begun'; sleep 0.4; echo last"]
    watcher = [sys.executable, ROOT / "scripts" / "watch_training.py", "--save-dir", tmp_path, "--", *command]
    process = subprocess.Popen([str(word) for word in watcher], stdout=subprocess.DEVNULL)
    wait_for(tmp_path / "begun", process)
    process.kill()
    process.wait()
    with open(tmp_path / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # which the command holds to its end
    assert (tmp_path / "train.log").read_text().endswith("\nfirst\nlast\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_more_gpus_than_there_are(data, tmp_path):
    arguments = [data / "bin", "--arch", ARCH, "--save-dir", tmp_path / "run", "--gpus", 3]
    assert "--gpus 3, but torch sees 0 here" in script("scripts/train.sh", *arguments, status=1)


def dry_run(*arguments):
    """The commands that a dry run prints, as lists of words."""
    lines = script(arguments[0], "--dry-run", *arguments[1:]).splitlines()
    return [shlex.split(line) for line in lines if re.match(r"\S*(python[\d.]*|fairseq-\w+) ", line)]


def parsed_training(command):
    """What fairseq's own parser makes of a fairseq-train command."""
    name, *words = command
    assert name == "fairseq-train"
    return options.parse_args_and_arch(options.get_training_parser(), words)


@pytest.mark.parametrize(
    ("more", "max_tokens", "update_freq"),
    [
        ([], 4096, 1),
        (["--batch-tokens", 4096], 4096, 1),
        (["--batch-tokens", 16384], 4096, 4),
        (["--batch-tokens", 10000], 3333, 3),
        (["--batch-tokens", 1000], 1000, 1),
    ],
)
def test_effective_batch(data, tmp_path, more, max_tokens, update_freq):
    arguments = [data / "bin", "--arch", ARCH, "--save-dir", tmp_path / "run", "--cpu", *more]
    (command,) = dry_run("scripts/train.sh", *arguments)
    parsed = parsed_training(command)
    assert (parsed.max_tokens, parsed.update_freq, parsed.cpu, parsed.arch) == (max_tokens, [update_freq], True, ARCH)
    smoothed = ("fused_label_smoothed_cross_entropy", "fused_adam")
    assert (parsed.criterion, parsed.optimizer, parsed.lr) == (*smoothed, [0.0005])
    assert snapshot(tmp_path) == []


def test_effective_batch_is_shared_by_processes(data, tmp_path):
    arguments = [data / "bin", "--arch", ARCH, "--save-dir", tmp_path / "run", "--cpu", "--processes", 2]
    (command,) = dry_run("scripts/train.sh", *arguments, "--batch-tokens", 4096)
    assert command[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    parsed = parsed_training(command[6:])
    assert (parsed.max_tokens, parsed.update_freq) == (2048, [1])
    assert (parsed.distributed_backend, parsed.ddp_backend) == ("gloo", "legacy_ddp")


def test_effective_batch_is_shared_by_gpus(data, tmp_path):
    """A dry run may ask for GPUs that are not here."""
    arguments = [data / "bin", "--arch", ARCH, "--save-dir", tmp_path / "run", "--batch-tokens", 16384]
    (command,) = dry_run("scripts/train.sh", *arguments, "--gpus", 2, "--max-tokens", 4096)
    at = next(index for index, word in enumerate(command) if word.endswith("fairseq-train"))
    assert command[at - 2 : at] == ["--nproc_per_node", "2"]
    parsed = parsed_training(command[at:])
    assert (parsed.max_tokens, parsed.update_freq) == (4096, [2])
    assert not parsed.cpu


def test_given_options_replace_the_defaults(data, tmp_path):
    arguments = [data / "bin", "--arch", ARCH, "--save-dir", tmp_path / "run", "--cpu", "--seed", 7, "--max-epoch", 3]
    own = ["--criterion", "cross_entropy", "--optimizer", "sgd", "--lr-scheduler", "fixed", "--lr=0.1"]
    (command,) = dry_run("scripts/train.sh", *arguments, "--", *own)
    parsed = parsed_training(command)
    assert (parsed.criterion, parsed.optimizer, parsed.lr_scheduler, parsed.lr) == (
        "fused_cross_entropy",
        "sgd",
        "fixed",
        [0.1],
    )
    assert (parsed.seed, parsed.max_epoch) == (7, 3)


@pytest.fixture(scope="module")
def translated(data, undisturbed):
    save_dir, _ = undisturbed
    arguments = [data / "bin", "--save-dir", save_dir, "--cpu", "--beam", 2]
    output = script("scripts/generate.sh", *arguments, "--", "--max-len-b", 20, "--max-len-a", 0)
    return save_dir / "gen.test", output, arguments


def test_generate_is_in_the_order_of_the_corpus(data, translated):
    folder, output, _ = translated
    assert "41 sentences in" in output
    log = (folder / "log").read_text()
    # our own reading of fairseq's log: source text tells which line of the corpus a number stands for
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", log, re.M))
    hypotheses = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", log, re.M))
    corpus = (data / "raw" / "test.de").read_text().splitlines()
    written = (folder / "hyp.tok").read_text().splitlines()
    assert list(hypotheses) != sorted(hypotheses, key=int), "the log should not be in order already"
    assert len(written) == len(corpus) == 41
    for number, (source, hypothesis) in enumerate(zip(corpus, written)):
        known = sources[str(number)].split()
        assert all(word in (mine, "<unk>") for word, mine in zip(known, source.split())), number
        assert hypothesis == hypotheses[str(number)]
    assert len((folder / "hyp.detok.en").read_text().splitlines()) == 41


def test_generate_keeps_a_finished_translation(translated):
    folder, _, arguments = translated
    before = (folder / "hyp.tok").stat().st_mtime_ns
    output = script("scripts/generate.sh", *arguments, "--resume", "--", "--max-len-b", 20, "--max-len-a", 0)
    assert "is there already" in output
    assert (folder / "hyp.tok").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.glob("gen.*")] == ["gen.test"]


LOG = "| INFO | fairseq.data.data_utils | loaded 3 examples from: x/test.de-en.de\n"


def collect(tmp_path, log):
    (tmp_path / "log").write_text(log, encoding="utf-8")
    command = [quick_python(), str(ROOT / "scripts/collect_hypotheses.py"), str(tmp_path / "log"), str(tmp_path), "en"]
    return subprocess.run(command, capture_output=True, text=True)


def test_collected_text_is_ordered_and_detokenised(tmp_path):
    lines = ["H-2\t-0.1\tThe dog &apos;s ball , red .", "H-0\t-0.5\tYes !", "H-0\t-0.9\tsecond best", "H-1\t-1e-05\t"]
    done = collect(tmp_path, LOG + "\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hyp.tok").read_text() == "Yes !\n\nThe dog &apos;s ball , red .\n"
    assert (tmp_path / "hyp.detok.en").read_text() == "Yes!\n\nThe dog's ball, red.\n"


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (LOG + "H-0\t-1\ta\nH-2\t-1\tb\n", "3 sentences but 2 hypotheses in"),
        (LOG + "H-0\t-1\ta\nH-1\t-1\ta\nH-2\t-1\tb\nH-3\t-1\tb\n", "3 sentences but 4 hypotheses in"),
        ("H-0\t-1\ta\n", "does not say how many sentences were loaded"),
    ],
)
def test_missing_hypotheses_are_an_error(tmp_path, log, message):
    done = collect(tmp_path, log)
    assert done.returncode == 1
    assert message in done.stderr
    assert snapshot(tmp_path) == ["log"]


def test_generate_leaves_nothing_behind_when_it_fails(data, tmp_path):
    (tmp_path / "checkpoint_best.pt").write_text("no checkpoint")
    output = script("scripts/generate.sh", data / "bin", "--save-dir", tmp_path, "--cpu", status=1)
    assert "fairseq-generate failed" in output
    assert snapshot(tmp_path) == ["checkpoint_best.pt"]
    output = script("scripts/generate.sh", data / "bin", "--save-dir", tmp_path / "other", "--cpu", status=1)
    assert "no checkpoint" in output


def test_generate_replaces_only_translations(data, undisturbed, tmp_path):
    (tmp_path / "precious").touch()
    arguments = [data / "bin", "--save-dir", undisturbed[0], "--cpu", "--out", tmp_path]
    assert "no translation of this script" in script("scripts/generate.sh", *arguments, status=1)
    assert snapshot(tmp_path) == ["precious"]


def test_generate_dry_run(data, tmp_path):
    arguments = [data / "bin", "--save-dir", tmp_path, "--cpu", "--beam", 4, "--lenpen", 0.6, "--subset", "valid"]
    (command,) = dry_run("scripts/generate.sh", *arguments)
    parsed = options.parse_args_and_arch(options.get_generation_parser(), command[1:])
    assert (parsed.beam, parsed.lenpen, parsed.gen_subset, parsed.cpu) == (4, 0.6, "valid", True)
    assert parsed.path == str(tmp_path / "checkpoint_best.pt")
    assert snapshot(tmp_path) == []


def test_score_is_sacrebleus(tmp_path):
    write_pair(tmp_path / "reference", sentences(50, 1))
    hypotheses = [english.replace("the", "a", index % 2) for index, (_, english) in enumerate(sentences(50, 1))]
    hypotheses[3] = "Something else entirely."
    (tmp_path / "hyp.detok.en").write_text("".join(f"{line}\n" for line in hypotheses), encoding="utf-8")
    files = [tmp_path / "hyp.detok.en", tmp_path / "reference.en"]
    output = script("scripts/score.sh", *files)
    command = [sys.executable, "-m", "sacrebleu", str(files[1]), "-i", str(files[0]), "-m", "bleu", "chrf", "-w", "2"]
    direct = json.loads(subprocess.run([*command, "-f", "json"], capture_output=True, text=True, check=True).stdout)
    written = json.loads((tmp_path / "score.json").read_text())
    assert written["sentences"] == 50
    assert list(written["metrics"].values()) == direct
    for metric in direct:
        assert f"{metric['name']} {metric['score']:.2f} ({metric['signature']})" in output
    assert 20 < direct[0]["score"] < 99

    # kept while it is newer than its input, made again when it is not
    (tmp_path / "score.json").write_text(json.dumps({"metrics": {"BLEU": {"score": 1.0, "signature": "tok:13a|kept"}}}))
    assert "BLEU 1.00 (tok:13a|kept)" in script("scripts/score.sh", *files, "--resume")
    os.utime(files[0], (time.time() + 5, time.time() + 5))
    assert "kept" not in script("scripts/score.sh", *files, "--resume")


def test_score_names_the_file_and_the_counts(tmp_path):
    (tmp_path / "hyp").write_text("one\ntwo\n")
    (tmp_path / "ref").write_text("one\ntwo\nthree without an end")
    message = f"{tmp_path / 'hyp'} has 2 lines but {tmp_path / 'ref'} has 3"
    assert message in script("scripts/score.sh", tmp_path / "hyp", tmp_path / "ref", status=1)
    assert "no file" in script("scripts/score.sh", tmp_path / "no", tmp_path / "ref", status=1)
    (tmp_path / "hyp").write_text("")
    assert "is empty" in script("scripts/score.sh", tmp_path / "hyp", tmp_path / "ref", status=1)
    assert "two files" in script("scripts/score.sh", tmp_path / "hyp", status=2)
    assert snapshot(tmp_path) == ["hyp", "ref"]


def test_average_sh(data, undisturbed, tmp_path):
    save_dir, _ = undisturbed
    output = script("scripts/average.sh", save_dir, "--last", 2, "--updates", "--out", tmp_path / "mean.pt")
    used = re.findall(r"checkpoint_\d+_\d+\.pt", output)
    assert [name.split("_")[2] for name in used] == ["20.pt", "24.pt"]
    first, second, mean = map(parameters, (save_dir / used[0], save_dir / used[1], tmp_path / "mean.pt"))
    for name, value in mean.items():
        if value.is_floating_point():
            assert torch.equal(value, ((first[name].double() + second[name].double()) / 2).to(value.dtype)), name
    assert snapshot(tmp_path) == ["mean.pt"]


@pytest.mark.parametrize("name", ["train", "generate", "score", "average", "quickstart"])
def test_help_names_every_option(name):
    text = script(f"scripts/{name}.sh", "--help")
    assert "Example" in text
    source = (ROOT / "scripts" / f"{name}.sh").read_text()
    parsed = set(re.findall(r"(--[a-z][a-z-]+)=", re.search(r"^OPTIONS=\(.*?\)$", source, re.M | re.S)[0]))
    assert parsed
    common = {"--gpus", "--cpu", "--seed", "--resume", "--dry-run", "--smoke"}
    missing = {option for option in parsed | common if option not in text}
    assert not missing


def test_estimate_follows_the_speed(tmp_path, monkeypatch):
    """10 updates in 5 s, then 10 in 20 s: 20 updates in 25 s leave 70 updates for 87.5 s."""
    module = runpy.run_path(str(ROOT / "scripts/watch_training.py"))
    progress = module["Progress"](str(tmp_path / "progress.json"), 100, 0)
    lines = []
    for now, updates in ((0.0, 10), (5.0, 20), (25.0, 30)):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        stats = {"epoch": 2, "update": 1.5, "loss": "4.5", "lr": "0.001", "num_updates": str(updates)}
        lines.append(progress.line("train_inner", stats))
    assert lines[0].startswith("10/100 updates (10 %) | epoch 2, loss 4.500, lr 0.001")
    assert lines[1].startswith("20/100 updates (20 %), 2.00 updates/s, about 0:00:40 left | ")
    assert lines[2].startswith("30/100 updates (30 %), 0.80 updates/s, about 0:01:27 left | ")
    # without a number of updates the epochs tell
    progress = module["Progress"](str(tmp_path / "progress.json"), 0, 3)
    assert progress.line("train_inner", stats).startswith("30 updates (50 %) | ")


def test_watcher_imports_without_the_project():
    """train.sh's watcher runs before anything heavy is imported."""
    module = runpy.run_path(str(ROOT / "scripts/watch_training.py"))
    assert module["clock"](3661) == "1:01:01"
