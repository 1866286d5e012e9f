#!/usr/bin/env bash
# Carries the experiment to a machine that reaches no package index.
#
#   kit.sh pack              here: fills wheels/ with t2jax and the packages that such machines lack
#   kit.sh ladder OUT        there: installs the wheels and trains the ladder
#   kit.sh analysis OUT      there: the same for the analysis
#
# Everything else (jax with CUDA, flax, optax, orbax, numpyro, pandas, pyarrow, ...) must be there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
wheels=$root/.wheels
case "${1:-}" in
pack)
  rm -rf "$wheels"
  python=${PYTHON:-$root/.venv/bin/python}
  "$python" -m pip wheel -q --no-deps -w "$wheels" "$root"
  "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
    -d "$wheels" tyro docstring-parser typeguard
  ls "$wheels"
  ;;
ladder | analysis)
  site=$(mktemp -d)
  python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
  cd "$(mktemp -d)" # so that the installed package is the one that runs
  PYTHONUNBUFFERED=1 PYTHONPATH=$site python3 "$here/$1.py" --out "$2" "${@:3}"
  ;;
*)
  sed -n '2,8p' "${BASH_SOURCE[0]}"
  exit 2
  ;;
esac
