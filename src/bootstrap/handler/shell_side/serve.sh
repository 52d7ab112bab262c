# The shell's side of the conversation: sources the script once, then calls its function for each
# event, in a subshell that was forked before the event came. What a kind of shell needs for that is
# in the file of its name; the files are read as one program, after the variables of this one.
#
# Nothing of the conversation is a descriptor that the script could move, close or write to: each
# side of it is opened by the number that it has in the bootstrap, when it is needed. Everything is
# defined before the script is sourced, so no alias of the script changes it; nothing depends on IFS,
# and `command` keeps functions of the script away; the backslash before it in a command
# substitution, whose text is parsed when it runs, keeps aliases away. That one name the script must
# not take.
#
# For each event the bootstrap writes a line to the wake pipe, and this shell answers with a line:
# the event's number and the function's status. Event 0 is a trial without a function, whose answer
# says that the shell is ready; its subshell goes on to serve event 1.
_zs_script=$1 _zs_function=$2 _zs_via=$3
_zs_wake=/proc/$PPID/fd/$4 _zs_status=/proc/$PPID/fd/$5 _zs_context=/proc/$PPID/fd/$6
_zs_event=/proc/$PPID/fd/$7 _zs_output=/proc/$PPID/fd/$8 _zs_place=/proc/$PPID/fd/$9
_zs_first_hook=${10} _zs_second_hook=${11}
_zs_newline='
'
readonly _zs_script _zs_function _zs_via _zs_wake _zs_status _zs_context _zs_event _zs_output \
  _zs_place _zs_first_hook _zs_second_hook _zs_newline
set --

_zs_report() { command echo "$1" >"$_zs_status" || command exit 1; }

# Waits for an event. At a shutdown the line is another one. Bytes 1 at its ends keep IFS away.
_zs_wait() {
  _zs_read_wake || return 1
  case ${_zs_line-} in *go*) ;; *) command false ;; esac
}

# Looks at what the script left, which ended with status $1. First, whether `command` is what it is
# meant to be, and runs what it is given. A trap of CHLD would run for our own children; no subshell
# inherits it.
_zs_look() {
  _zs_state=taken
  _zs_has_command || return 0
  \command unset -v _zs_state || return 0
  case ${_zs_state-} in taken) return 0 ;; esac
  command trap - CHLD
  # A name of ours that the script made readonly would keep the script's value.
  command unset -v _zs_line _zs_text _zs_number _zs_options _zs_option _zs_flags _zs_places \
    _zs_traps _zs_posix _zs_shopts _zs_returned _zs_pairs _zs_names _zs_at _zs_chain _zs_hook ||
    command return 1
  if command test "$1" -ne 0; then
    _zs_state=$1
  elif ! _zs_has "$_zs_function"; then
    _zs_state=missing
  else
    _zs_take_off || command return 1
    _zs_state=0
  fi
}

set -eu
{
  . "$_zs_script"
  # Where -x is on, it would show what is ours. A failure shows itself the second time.
  { _zs_look "$?"; } 2>/dev/null || _zs_look 0 || _zs_state=1
  case $_zs_state in
  0)
    # In place of this name stand hooks.sh and the loop for the kind of shell. They are no functions, so
    # that the script's are called at the top level: FUNCNAME and caller show nothing of ours.
    _zs_loop
    ;;
  taken | missing) echo "0 $_zs_state" >"$_zs_status" ;;
  *) exit "$_zs_state" ;;
  esac
}
