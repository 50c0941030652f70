# shellcheck shell=sh disable=SC2154 # who sources this sets work
# Debian's source packages and backports, for the suites; sourced, not run. The lists of sources are their own: the system's are not touched.

# unpack PACKAGE: the package's source in $work/PACKAGE.
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

# unpack_backport PACKAGE: the package, of this system's backports, in $work/backports.
unpack_backport() {
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mkdir -p "$work/backports/lists/partial" "$work/backports/sources" "$work/backports/debs"
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] && awk -v RS= -v "release=$release" '
            $0 ~ "\nSuites:[^\n]* " release "([ \n]|$)" {
                sub(/\nSuites:[^\n]*/, "\nSuites: " release "-backports")
                sub(/Types:[^\n]*/, "Types: deb")
                print $0 "\n"
            }' "$list"
    done > "$work/backports/sources/backports.sources"
    [ ! -r /etc/apt/sources.list ] || sed -n "s/^deb \(.*\) $release main.*/deb \1 $release-backports main/p" /etc/apt/sources.list \
        > "$work/backports/sources/backports.list"
    set -- "$1" -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/backports/sources" \
        -o "Dir::State::lists=$work/backports/lists" -o APT::Sandbox::User=root
    package=$1
    shift
    rm -f "$work/backports/debs/$package"_*
    apt-get -qq "$@" update && (cd "$work/backports/debs" && apt-get -qq "$@" download "$package") \
        && dpkg-deb -x "$work/backports/debs/$package"_*.deb "$work/backports/root"
}
