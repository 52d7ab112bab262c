# What bash needs. It does without processes, and traces a failure to its place.
set -o pipefail

# Whether the script defines a function of this name. Only functions count: were a handler named
# `eval` accepted, the builtin would execute the event.
_zs_has() { command declare -F "$1" >/dev/null; }

# Whether `command` is what it is meant to be; so it is not used to say so. The second look is for
# scripts that define a function `declare`, which may say yes to all.
_zs_has_command() {
  if \declare -F command >/dev/null && ! \declare -F _zs_no_name >/dev/null; then
    return 1
  fi
}

# mapfile knows neither TMOUT nor IFS.
_zs_read_wake() { command mapfile -t -n 1 _zs_line <"$_zs_wake"; }

# Takes the script's options off this shell, and notes them for its functions; also the traps that a
# subshell inherits. With -a in force an assignment would export, and `case` obeys nocasematch.
_zs_take_off() {
  command set -- "$-"
  command set +aCefkmuvxET
  _zs_shopts=()
  # The others end with POSIX mode.
  for _zs_at in nocasematch expand_aliases shift_verbose; do
    command shopt -q "$_zs_at" && _zs_shopts+=("$_zs_at")
  done
  command shopt -u nocasematch || command return 1
  _zs_options=${1//[!aCefkuvxET]/}
  _zs_traps=
  case $_zs_options in
  *[ET]*)
    for _zs_at in ERR RETURN DEBUG; do
      _zs_chain=$(\command trap -p "$_zs_at")
      # Neither an alias nor a function of the script is to run in place of `trap`.
      command test -z "$_zs_chain" || _zs_traps+="\\command \\$_zs_chain$_zs_newline"
    done
    ;;
  esac
  _zs_posix=+o
  command test -o posix && _zs_posix=-o
  command return 0
}

# In POSIX mode bash does not print the command of a subshell that a signal ends. Its start sets three
# options, which the script's functions are not to see.
_zs_start_posix() {
  _zs_names=()
  for _zs_at in inherit_errexit interactive_comments sourcepath; do
    command shopt -q "$_zs_at" || _zs_names+=("$_zs_at")
  done
  command set -o posix
  # Without a name shopt prints.
  command shopt -u "${_zs_names[@]}" >/dev/null
}

# Puts them on again. Nothing of ours may follow in the subshell but the function: -x would show it.
_zs_put_on() {
  command set "$_zs_posix" posix
  case $_zs_shopts in ?*) command shopt -s "${_zs_shopts[@]}" ;; esac
  case $_zs_options in ?*) command set "-$_zs_options" ;; esac
}

# Lets failures be traced, by the traps ERR and RETURN, if that cannot be seen: no function sets or
# prints a trap of these, sets options, or runs text that might; and `case` tells the E of $- from an
# e. Bash takes the names of traps in small letters, too. The file of the first event serves as scratch.
_zs_look_at_functions() {
  case $_zs_options$_zs_traps-${_zs_shopts[*]-} in *[avxT]*-* | *nocasematch*) command return ;; esac
  command compgen -A function -X '_zs_*' >"$_zs_event" 2>/dev/null
  command mapfile -t _zs_names <"$_zs_event"
  if command declare -f -- "${_zs_names[@]}" >"$_zs_event" 2>/dev/null; then
    case $(<"$_zs_event") in
    *ERR* | *RETURN* | *DEBUG* | *trap*' err'[!a-z]* | *trap*' debug'[!a-z]* | *'trap -p'*) ;;
    *eval* | *source* | *' . '* | *'(. '* | *'set -'*) ;;
    *)
      _zs_places=yes
      command declare -ft "$_zs_function"
      # The argument keeps $_ as the script left it.
      command trap '_zs_failed "${_-}"' ERR
      command set -E
      _zs_options+=E
      ;;
    esac
  fi
}

# Runs where a command failed, and reports places alone: file, line and function, a line each. It tells
# the innermost ones, as many as the pipe holds: what is more would block, since it is read at the end.
_zs_failed() {
  command test "${BASH_SUBSHELL-}" = 1 || command return
  case ${FUNCNAME[1]-} in
  '')
    # Else it is a command of ours that failed, as when the script has made a variable readonly.
    command test -z "${_zs_returned-}" ||
      command echo "$_zs_number $_zs_script:$_zs_returned $_zs_function" >"$_zs_place"
    command return
    ;;
  esac
  command test -o errexit || command return
  _zs_at=1 _zs_chain=
  while command test -n "${FUNCNAME[_zs_at]-}" && command test "${#_zs_chain}" -lt 2000; do
    _zs_chain+="$_zs_number ${BASH_SOURCE[_zs_at]}:${BASH_LINENO[_zs_at - 1]} ${FUNCNAME[_zs_at]}$_zs_newline"
    _zs_at=$((_zs_at + 1))
  done
  command echo "$_zs_chain" >"$_zs_place"
}

# Runs the trial event in the first subshell.
_zs_try() {
  _zs_wait || command exit 1
  command mapfile -t _zs_pairs <"$_zs_context"
  command export "${_zs_pairs[@]}" || command exit 1
  case ${LAMBDA_RUNTIME_AWS_REQUEST_ID-} in trial) ;; *) command exit 1 ;; esac
  _zs_report '0 0'
}
