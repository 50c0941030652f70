# shellcheck shell=sh disable=SC2154 # who sources this sets work
# Debian's source packages and backports, for the suites; sourced, not run. The lists of sources are their own: the system's are not touched.

# own_apt FOLDER ARGUMENT...: apt-get with the lists of sources in this folder and no others.
own_apt() {
    lists=$1
    shift
    apt-get -qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$lists" -o "Dir::State::lists=$lists/lists" \
        -o APT::Sandbox::User=root "$@"
}

# unpack PACKAGE: the package's source in $work/PACKAGE.
unpack() {
    [ -e "$work/$1/.unpacked" ] && return 0
    rm -rf "${work:?}/$1"
    mkdir -p "$work/apt/lists/partial" "$work/apt/$1"
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] && sed 's/^Types:.*/Types: deb-src/' "$list" && echo
    done > "$work/apt/src.sources"
    [ ! -r /etc/apt/sources.list ] || sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > "$work/apt/src.list"
    own_apt "$work/apt" update \
        && (cd "$work/apt/$1" && own_apt "$work/apt" source --download-only "$1" \
            && dpkg-source --no-check -x ./*.dsc "$work/$1") > "$work/apt/$1.log" 2>&1 \
        && touch "$work/$1/.unpacked"
}

# unpack_backport PACKAGE: the package, of this system's backports, in $work/backports.
unpack_backport() {
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mkdir -p "$work/backports/lists/partial" "$work/backports/debs"
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] && awk -v RS= -v "release=$release" '
            $0 ~ "\nSuites:[^\n]* " release "([ \n]|$)" {
                sub(/\nSuites:[^\n]*/, "\nSuites: " release "-backports")
                sub(/Types:[^\n]*/, "Types: deb")
                print $0 "\n"
            }' "$list"
    done > "$work/backports/backports.sources"
    [ ! -r /etc/apt/sources.list ] || sed -n "s/^deb \(.*\) $release main.*/deb \1 $release-backports main/p" /etc/apt/sources.list \
        > "$work/backports/backports.list"
    rm -f "$work/backports/debs/$1"_*
    own_apt "$work/backports" update && (cd "$work/backports/debs" && own_apt "$work/backports" download "$1") \
        && dpkg-deb -x "$work/backports/debs/$1"_*.deb "$work/backports/root"
}
