"""A Slurm cluster of two nodes on this machine, started for a test: munged, slurmctld and two slurmd, in one folder."""

import contextlib
import getpass
import os
import shutil
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def missing():
    """Why no cluster can be started here; empty if one can."""
    programs = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if programs:
        return f"Slurm: no {', '.join(programs)} here (Debian's packages slurm-client, slurmctld, slurmd, munge)"
    return "" if os.geteuid() == 0 else "Slurm: its daemons want to be started by root"


CONFIG = """\
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,requeue_delay=1
JobAcctGatherType=jobacct_gather/none
MinJobAge=300
KillWait=30
OverTimeLimit=0
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs=32 State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs=32 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def cluster(folder):
    """Start the daemons; yields the environment for Slurm's commands."""
    for name in ("state", "spool.one", "spool.two"):
        (folder / name).mkdir()
    host = os.uname().nodename.split(".")[0]
    config = folder / "slurm.conf"
    port = 20000 + os.getpid() % 20000
    config.write_text(
        CONFIG.format(host=host, port=port, one=port + 1, two=port + 2, user=getpass.getuser(), folder=folder)
    )
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(config)}
    daemons = []
    try:
        munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munge += [
            f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log",
            f"--seed-file={folder}/munge.seed",
        ]
        nodes = [["slurmd", "-D", "-N", name] for name in ("one", "two")]
        for command in (munge, ["slurmctld", "-D", "-i"], *nodes):
            with open(folder / f"{len(daemons)}.out", "w", encoding="utf-8") as output:
                daemons.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
            time.sleep(0.5)
        deadline = time.monotonic() + 60
        while subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        ).stdout.split() != ["idle", "idle"]:
            if time.monotonic() > deadline:
                logs = "".join(log.read_text(errors="replace")[-1500:] for log in sorted(folder.glob("*.log")))
                raise RuntimeError(f"the cluster does not come up:\n{logs}")
            time.sleep(0.5)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()
