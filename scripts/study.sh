#!/usr/bin/env bash
# A controlled comparison from one file to one page: fairseq-plugins study in the project's environment.
#
#   scripts/study.sh STUDY.yaml [OPTION]...
#
# The options are those of fairseq-plugins study (its --help tells them). Several calls share one study's work, so as a
# Slurm array so many runs go on at once as there are tasks:
#
#   sbatch --array 0-7 --gpus-per-node 1 scripts/slurm/train.sbatch scripts/study.sh STUDY.yaml
#
# Examples:
#   bash scripts/study.sh examples/toy/study.yaml --plan
#   bash scripts/study.sh examples/toy/study.yaml --cpu --jobs 2

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    print_usage "$0"
    exit 0
fi
use_python
exec "$PYTHON" -m fairseq_plugins.cli study "$@"
