# Sourced, with $root set to the project's folder. Offers two functions:
#
#   find_deno           sets $deno to the Deno binary itself (2.9 or later), never a shim:
#                       its pid has to be the daemon's after exec
#   fetch_dependencies  downloads what deno.lock names, unless it has been done
#
# What is brought or found is kept in the ignored folder .deno/:
#
#   .deno/2.9.6/deno    the pinned Deno, brought from npm where the PATH has none
#   .deno/found         what `command -v deno` said, and the binary behind it; asked again
#                       when that binary is newer or the PATH answers something else
#   .deno/cache         Deno's cache (dependencies, V8 code cache) and the stamp `ready`
#
# Everything is made beside its place and renamed into it, so that runs at the same
# moment do not harm each other.

deno_pinned=2.9.6
deno_minor_min=9

find_deno() {
  on_path=$(command -v deno || true)
  if [ -n "$on_path" ]; then
    if [ -f "$root/.deno/found" ]; then
      { read -r found_as && read -r found; } <"$root/.deno/found" || found_as=
      if [ "$found_as" = "$on_path" ] && [ -x "$found" ] && [ "$root/.deno/found" -nt "$found" ]; then
        deno=$found
        return
      fi
    fi
    if look_behind "$on_path"; then return; fi
  fi
  deno=$root/.deno/$deno_pinned/deno
  [ -x "$deno" ] || install_deno
}

# Asks a `deno` of the PATH, which may be a script, for its version and its real binary.
look_behind() {
  answer=$(cd / && "$1" eval --no-config 'console.log(Deno.version.deno + " " + Deno.execPath())' 2>/dev/null) || return 1
  major=${answer%%.*}
  rest=${answer#*.}
  minor=${rest%%.*}
  case "$major$minor" in '' | *[!0-9]*) return 1 ;; esac
  if [ "$major" -lt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -lt "$deno_minor_min" ]; }; then
    return 1
  fi
  deno=${answer#* }
  if mkdir -p "$root/.deno" 2>/dev/null && [ -w "$root/.deno" ]; then
    printf '%s\n%s\n' "$1" "$deno" >"$root/.deno/found.$$" &&
      mv -f "$root/.deno/found.$$" "$root/.deno/found"
  fi
}

install_deno() {
  if ! command -v npm >/dev/null; then
    echo "layerd: needs Deno 2.$deno_minor_min or later on the PATH, or npm to bring it; neither is there" >&2
    exit 69
  fi
  echo "layerd: no Deno 2.$deno_minor_min or later on the PATH; bringing $deno_pinned from npm into .deno/ (once)" >&2
  mkdir -p "$root/.deno/$deno_pinned" || exit 70
  fresh=$(mktemp -d "$root/.deno/fresh.XXXXXX") || exit 70
  # No install scripts: they only link the binary that the platform's package holds.
  if ! npm install --prefix "$fresh" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
    "deno@$deno_pinned" >&2; then
    rm -rf "$fresh"
    echo "layerd: npm could not install deno@$deno_pinned; look at npm's proxy and certificate settings (npm config get proxy, cafile), or put Deno 2.$deno_minor_min or later on the PATH" >&2
    exit 69
  fi
  for binary in "$fresh"/node_modules/@deno/*/deno; do
    if [ -x "$binary" ] && "$binary" --version >/dev/null 2>&1; then
      mv -f "$binary" "$deno"
      break
    fi
  done
  rm -rf "$fresh"
  if [ ! -x "$deno" ]; then
    echo "layerd: npm's deno@$deno_pinned has no binary for this machine; put Deno 2.$deno_minor_min or later on the PATH" >&2
    exit 69
  fi
}

fetch_dependencies() {
  DENO_DIR=$root/.deno/cache
  DENO_NO_UPDATE_CHECK=1
  DENO_NO_PACKAGE_JSON=1
  export DENO_DIR DENO_NO_UPDATE_CHECK DENO_NO_PACKAGE_JSON
  stamp=$DENO_DIR/ready
  if [ "$stamp" -nt "$root/deno.lock" ] && [ "$stamp" -nt "$root/deno.json" ]; then return; fi
  echo "layerd: fetching the dependencies that deno.lock names into .deno/ (once)" >&2
  if ! (cd "$root" && "$deno" install --quiet --frozen) >&2; then
    echo "layerd: the dependencies could not be fetched" >&2
    exit 69
  fi
  : >"$stamp"
}
