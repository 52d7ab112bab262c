# The shell's side of the conversation: sources the script once, then calls its function for each
# event, in a subshell that was forked before the event came. Runs in bash and in POSIX shells.
#
# Nothing of the conversation is a descriptor that the script could move, close or write to: each
# side of it is opened by the number that it has in the bootstrap, when it is needed. Everything is
# defined before the script is sourced, so no alias of the script changes it; nothing depends on IFS,
# and `command` keeps functions of the script away; the backslash before it in a command
# substitution, whose text is parsed when it runs, keeps aliases away. That one name the script must
# not take.
#
# For each event the bootstrap writes a line to the wake pipe, and this shell answers with a line:
# the event's number and the function's status. Event 0 is a trial without a function, whose
# answer, 2 or 3, says that the shell is ready.
_zs_script=$1 _zs_function=$2 _zs_via=$3
_zs_wake=/proc/$PPID/fd/$4 _zs_status=/proc/$PPID/fd/$5 _zs_context=/proc/$PPID/fd/$6
_zs_event=/proc/$PPID/fd/$7 _zs_output=/proc/$PPID/fd/$8 _zs_place=/proc/$PPID/fd/$9
_zs_first_hook=${10} _zs_second_hook=${11}
_zs_newline='
'
readonly _zs_script _zs_function _zs_via _zs_wake _zs_status _zs_context _zs_event _zs_output \
  _zs_place _zs_first_hook _zs_second_hook _zs_newline
set --

# Whether the script defines a function of this name. Only functions count: were a handler named
# `eval` accepted, the builtin would execute the event.
_zs_has() {
  case $(LC_ALL=C \command -V "$1" 2>/dev/null) in
  "$1 is a function" | "$1 is a shell function") ;;
  *) command false ;;
  esac
}

# Whether `command` is what it is meant to be; so it is not used to say so.
_zs_has_command() {
  case $(\command -V command 2>&1) in
  *'is a function'* | *'shell function'*) return 1 ;;
  *builtin* | *alias*) ;;
  *) return 1 ;;
  esac
}

# Waits in the event's subshell until the event is there. A read that ends without a line means that
# the bootstrap is gone.
_zs_wait() { command read -r _zs_line <"$_zs_wake"; }

# Exports the event's variables, and makes the event the argument. The context is a line for each
# variable, and an empty line. Only some shells read a file without a process.
_zs_receive() {
  case $_zs_via in
  stdin) _zs_text=$(\command -p cat "$_zs_context") || command exit ;;
  *) _zs_text=$(\command -p cat "$_zs_context" "$_zs_event") || command exit ;;
  esac
  _zs_export
}

# Exports what is in the text up to its first empty line; the rest stays.
_zs_export() {
  _zs_lines=${_zs_text%%"$_zs_newline$_zs_newline"*}
  _zs_text=${_zs_text#"$_zs_lines"}
  _zs_text=${_zs_text#"$_zs_newline$_zs_newline"}
  while command test -n "$_zs_lines"; do
    command export "${_zs_lines%%"$_zs_newline"*}"
    case $_zs_lines in
    *"$_zs_newline"*) _zs_lines=${_zs_lines#*"$_zs_newline"} ;;
    *) _zs_lines='' ;;
    esac
  done
}

# Takes the script's options off this shell, and notes them for its functions. With -a in force an
# assignment would export.
_zs_take_off() {
  command set -- "$-"
  command set +aCefmuvx
  _zs_note "$1" a C e f u v x
}
_zs_note() {
  _zs_flags=$1 _zs_options=''
  command shift
  for _zs_option in "$@"; do
    case $_zs_flags in *"$_zs_option"*) _zs_options=$_zs_options$_zs_option ;; esac
  done
}

# Puts them on again. Nothing of ours may follow in the subshell but the function: -x would show it.
_zs_put_on() {
  case $_zs_options in ?*) command set "-$_zs_options" ;; esac
}

# Whether a failure may be traced to its place. Only bash can.
_zs_can_trace() { command false; }

case ${BASH_VERSION-}${KSH_VERSION-} in
'') ;;
*)
  # ksh and mksh read a file without a process. A time limit of three years keeps TMOUT away.
  eval '
  _zs_has() { command typeset -f "$1" >/dev/null; }
  _zs_wait() { command read -r -t 99999999 _zs_line <"$_zs_wake"; }
  _zs_receive() {
    _zs_text=$(<"$_zs_context")
    _zs_export
    _zs_text=$(<"$_zs_event")
  }
  _zs_take_off() {
    command set -- "$-"
    command set +aCefmuvx
    command trap - ERR DEBUG
    _zs_note "$1" a C e f u v x
  }'
  ;;
esac

case ${BASH_VERSION-} in
'') ;;
*)
  # mapfile knows neither TMOUT nor IFS.
  eval '
  _zs_has() { command declare -F "$1" >/dev/null; }
  _zs_has_command() {
    case $(\declare -F command 2>&1) in command) return 1 ;; esac
  }
  _zs_wait() {
    command mapfile -t -n 1 _zs_line <"$_zs_wake"
    case ${_zs_line-} in go) ;; *) command false ;; esac
  }
  _zs_receive() {
    command mapfile -t _zs_pairs <"$_zs_context"
    command export "${_zs_pairs[@]:0:${#_zs_pairs[@]}-1}"
    case $_zs_via in stdin) ;; *) _zs_text=$(<"$_zs_event") ;; esac
  }

  # Also takes off the traps that a subshell inherits, and nocasematch, which `case` obeys. In POSIX
  # mode bash does not print the command of a subshell that a signal ends.
  _zs_take_off() {
    command set -- "$-"
    command set +aCefkmuvxET
    _zs_nocase=-u
    if command shopt -q nocasematch; then _zs_nocase=-s; fi
    command shopt -u nocasematch
    _zs_note "$1" a C e f k u v x E T
    _zs_traps=
    case $_zs_options in *[ET]*) _zs_traps=$(\command trap -p ERR RETURN DEBUG) ;; esac
    command trap - ERR DEBUG RETURN
    case :$SHELLOPTS: in *:posix:*) _zs_posix=-o ;; *) _zs_posix=+o ;; esac
    command set -o posix
    case $_zs_places in yes) _zs_trace ;; esac
  }
  _zs_put_on() {
    case $_zs_places in yes) command trap "_zs_returned=\$LINENO" RETURN ;; esac
    command set "$_zs_posix" posix
    command shopt "$_zs_nocase" nocasematch
    case $_zs_options in ?*) command set "-$_zs_options" ;; esac
  }

  # A failure is traced by the traps ERR and RETURN. That may not be seen: no function may set a trap
  # of these, set options, or run text that might.
  _zs_can_trace() {
    case $_zs_options$_zs_traps in *[avxT]*) command return 1 ;; esac
    case $(
      \command unset -f _zs_has _zs_has_command _zs_wait _zs_receive _zs_export _zs_take_off \
        _zs_note _zs_put_on _zs_look _zs_run_hooks _zs_can_trace _zs_trace _zs_failed _zs_report _zs_serve
      \command declare -f
    ) in
    *ERR* | *RETURN* | *DEBUG* | *eval* | *source* | *" . "* | *"set -"*) command return 1 ;;
    esac
  }
  _zs_trace() {
    command set "$_zs_posix" posix
    command declare -ft "$_zs_function"
    command set -o posix
    command trap _zs_failed ERR
    command set -E
    _zs_places=yes
    case $_zs_options in *E*) ;; *) _zs_options=${_zs_options}E ;; esac
  }

  # Runs where a command failed, and reports places alone: file, line and function, a line each.
  _zs_failed() {
    case $BASH_SUBSHELL in 1) ;; *) command return ;; esac
    case ${FUNCNAME[1]-} in
    "") command return ;;
    _zs_serve)
      command echo "$_zs_number $_zs_script:$_zs_returned $_zs_function" >"$_zs_place"
      command return
      ;;
    esac
    case $- in *e*) ;; *) command return ;; esac
    _zs_at=1 _zs_chain=
    while command test "${FUNCNAME[_zs_at]-_zs_serve}" != _zs_serve; do
      _zs_chain+="$_zs_number ${BASH_SOURCE[_zs_at]}:${BASH_LINENO[_zs_at - 1]} ${FUNCNAME[_zs_at]}$_zs_newline"
      _zs_at=$((_zs_at + 1))
    done
    command echo "$_zs_chain" >"$_zs_place"
  }'
  ;;
esac

_zs_report() { command echo "$1" >"$_zs_status" || command exit 1; }

# Serves for ever. What is in parentheses is the subshell of one event; that of the trial says by its
# status whether a failure may be traced.
_zs_serve() {
  _zs_number=0
  while command true; do
    (
      _zs_wait || command exit 1
      _zs_receive
      case $_zs_number in
      0) if _zs_can_trace; then command exit 2; else command exit 3; fi ;;
      esac
      case $_zs_via in
      stdin)
        command set --
        exec <"$_zs_event" >"$_zs_output"
        ;;
      *)
        command set -- "$_zs_text"
        exec </dev/null >"$_zs_output"
        ;;
      esac
      case ${_zs_traps-} in
      '')
        _zs_put_on
        "$_zs_function" "$@"
        ;;
      *)
        _zs_put_on
        command eval "$_zs_traps"
        "$_zs_function" "$@"
        ;;
      esac
    )
    _zs_result=$?
    case $_zs_number$_zs_result in 02) _zs_trace ;; esac
    _zs_report "$_zs_number $_zs_result"
    case $_zs_number in 0) _zs_run_hooks ;; esac
    _zs_number=$((_zs_number + 1))
  done
}

# Runs the hooks, in this shell itself and as the script left it.
_zs_run_hooks() {
  for _zs_hook in "$_zs_first_hook" "$_zs_second_hook"; do
    case $_zs_hook in '') command break ;; esac
    _zs_number=$((_zs_number + 1))
    (_zs_wait) || command exit 1
    if _zs_has "$_zs_hook"; then
      _zs_put_on
      "$_zs_hook"
      { _zs_take_off; } 2>/dev/null
    fi
    _zs_report "$_zs_number 0"
  done
}

# Looks at what the script left, which ended with status $1. A trap of CHLD would run for our own
# children; no subshell inherits it.
_zs_look() {
  if trap - CHLD; then _zs_state=; fi
  if ! _zs_has_command; then
    _zs_state=taken
    return 0
  fi
  _zs_places=no
  if command test "$1" -ne 0; then
    _zs_state=$1
  elif ! _zs_has "$_zs_function"; then
    _zs_state=missing
  else
    _zs_take_off
    _zs_state=0
  fi
}

set -eu
case ${BASH_VERSION-} in '') ;; *) set -o pipefail ;; esac
{
  . "$_zs_script"
  # Where -x is on, it would show what is ours. A failure shows itself the second time.
  { _zs_look "$?"; } 2>/dev/null || _zs_look "$?" || _zs_state=1
  case $_zs_state in
  0) _zs_serve ;;
  taken | missing) echo "0 $_zs_state" >"$_zs_status" ;;
  *) exit "$_zs_state" ;;
  esac
}
