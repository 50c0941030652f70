# shellcheck shell=sh disable=SC2154 # who sources this sets work
# Debian's source packages, for the suites; sourced, not run.

# unpack PACKAGE: the package's source in $work/PACKAGE. The list of sources is this script's own: the system's is not touched.
unpack() {
    [ -e "$work/$1/.unpacked" ] && return 0
    rm -rf "${work:?}/$1"
    mkdir -p "$work/apt/lists/partial" "$work/apt/$1"
    : > "$work/apt/src.sources"
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] && sed 's/^Types:.*/Types: deb-src/' "$list" && echo
    done > "$work/apt/src.sources"
    [ ! -r /etc/apt/sources.list ] || sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > "$work/apt/src.list"
    set -- "$1" -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/apt" \
        -o "Dir::State::lists=$work/apt/lists" -o APT::Sandbox::User=root
    package=$1
    shift
    apt-get -qq "$@" update \
        && (cd "$work/apt/$package" && apt-get -qq "$@" source --download-only "$package" \
            && dpkg-source --no-check -x ./*.dsc "$work/$package") > "$work/apt/$package.log" 2>&1 \
        && touch "$work/$package/.unpacked"
}

