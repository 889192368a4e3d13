# shellcheck shell=bash
# Source this file. `bootstrap` sets $PYTHON to an interpreter with everything installed.
#
#   bootstrap               installs what a run needs
#   bootstrap cluster       also what engine=openrlhf needs, without a GPU
#   bootstrap cluster dev   also what the tests need
#   bootstrap docs          also what the documentation site needs
#
# Every stage writes a stamp: the checksum of its requirements. So a second call costs nothing, a changed
# requirement repeats one stage, and an interrupted stage is repeated.
#
#   MSSR_VENV=FOLDER      use (and if need be fill) that virtual environment instead of .venv
#   MSSR_PIP_ARGS="..."   passed on to every `pip install`, e.g. which index to ask

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$(realpath -m "${MSSR_VENV:-$ROOT/.venv}")
STATE=$VENV/.mssr_rl
PYTHON=$VENV/bin/python
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"  # this clone, whichever one is installed

bootstrap() {
  local stages="venv torch libraries package $*"
  # shellcheck disable=SC2086  # a list of words
  are_done $stages && return
  mkdir -p "$STATE" || fail "cannot write to $VENV"
  exec 9>"$STATE/lock"  # pip inherits the lock, so a pip that outlives a killed script is waited for
  flock -n 9 || { say "another install into $VENV is under way; waiting for it"; flock 9; }
  for stage in $stages; do run_stage "$stage"; done
  exec 9>&-
}

are_done() {
  local stage
  for stage in "$@"; do
    [ "$(cat "$STATE/$stage.stamp" 2>/dev/null)" = "$(checksum "$stage")" ] || return
  done
}

run_stage() {
  local stage=$1 begun=$SECONDS log=$STATE/$1.log
  are_done "$stage" && return
  rm -f "$STATE/$stage.stamp"
  printf 'setup: installing %s ... ' "$(words "$stage")" >&2
  "install_$stage" >"$log" 2>&1 || fail_stage "$stage" "$log"
  checksum "$stage" >"$STATE/$stage.part" && mv "$STATE/$stage.part" "$STATE/$stage.stamp"
  printf '%s s\n' $((SECONDS - begun)) >&2
}

words() {
  case $1 in
    venv) echo "a virtual environment" ;;
    torch) echo "torch, the largest part" ;;
    libraries) echo "the other libraries" ;;
    package) echo "mssr_rl itself" ;;
    cluster) echo "Ray, DeepSpeed, vLLM and OpenRLHF" ;;
    dev) echo "what the tests need" ;;
    docs) echo "what the documentation site needs" ;;
  esac
}

checksum() {
  case $1 in
    venv) echo "$VENV" ;;  # an environment that was moved does not work
    torch) torch_pin ;;
    libraries) sha256sum <"$ROOT/requirements.txt" ;;
    package) cat "$ROOT/pyproject.toml" <(echo "$ROOT") | sha256sum ;;
    cluster) sha256sum <"$ROOT/requirements-cluster.txt" ;;
    dev) sha256sum <"$ROOT/requirements-dev.txt" ;;
    docs) sha256sum <"$ROOT/requirements-docs.txt" ;;
  esac
}

install_venv() {
  local python=$PYTHON
  if ! "$python" -m pip --version; then
    python=$(find_python) || {
      echo "error: no Python 3.11 or newer with the venv module was found on PATH"
      return 1
    }
    [ -n "${MSSR_VENV:-}" ] || (cd "$VENV" && rm -rf bin include lib lib64 pyvenv.cfg)  # half made
    "$python" -m venv "$VENV" || return
  fi
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed")'
}

install_torch() { install "$(torch_pin)"; }
install_libraries() { install -r "$ROOT/requirements.txt"; }
install_cluster() { DS_BUILD_OPS=0 install --no-deps -r "$ROOT/requirements-cluster.txt"; }
install_dev() { install -r "$ROOT/requirements-dev.txt"; }

# The site's packages never change the version of one that is there: where they would, pip stops, and
# MSSR_VENV can name another environment.
install_docs() {
  "$PYTHON" -m pip freeze | grep -E '^[A-Za-z0-9._-]+==' >"$STATE/docs.there"
  install -r "$ROOT/requirements-docs.txt" -c "$STATE/docs.there"
}

# An environment of the user (MSSR_VENV) keeps its own mssr_rl; PYTHONPATH puts this clone before it.
install_package() {
  if [ -n "${MSSR_VENV:-}" ] && "$PYTHON" -m pip show --quiet mssr_rl; then return; fi
  install --no-deps --no-build-isolation --editable "$ROOT"
}

install() {
  [ -n "${MSSR_VENV:-}" ] || forget_half_installed
  # shellcheck disable=SC2086  # MSSR_PIP_ARGS may be several words
  "$PYTHON" -m pip install --disable-pip-version-check --no-input ${MSSR_PIP_ARGS:-} "$@"
}

# pip writes INSTALLER last. A package without it was interrupted while it was unpacked, so remove it.
forget_half_installed() {
  local found
  for found in "$VENV"/lib/python3*/site-packages/*.dist-info; do
    [ ! -d "$found" ] || [ -e "$found/INSTALLER" ] || rm -rf "$found"
  done
}

# Print the additional stage that these `key=value` arguments need. A GPU needs another vLLM and a
# flash-attn built for it, so nothing is installed for it here: docs/cluster.md.
extras() {
  case " $* " in
    *" engine.device=cuda"*) ;;
    *" engine=openrlhf "*) echo cluster ;;
  esac
}

find_python() {
  local candidate
  for candidate in python3.11 python3 python3.12 python3.13; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then echo "$candidate"; return; fi
  done
  return 1
}

torch_pin() { grep '^torch==' "$ROOT/requirements.txt"; }
say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

fail_stage() {
  local why
  why=$(grep -iE '^ *error|Error:' "$2" | tail -n 1 | cut -c1-300) || true
  printf 'failed\n' >&2
  fail "${why:-no reason was given}; the whole log is in $2. The next call tries again."
}
