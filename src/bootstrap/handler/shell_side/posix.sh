# What dash, busybox ash and kin need. They read a file by a process only.

# Whether the script defines a function of this name. Only functions count: were a handler named
# `eval` accepted, the builtin would execute the event.
_zs_has() {
  case $(LC_ALL=C \command -V "$1" 2>/dev/null) in
  "$1 is a function" | "$1 is a shell function") ;;
  *) command false ;;
  esac
}

# Whether `command` is what it is meant to be; so it is not used to say so. A trap of CHLD would run
# for the process that looks.
_zs_has_command() {
  trap - CHLD
  case $(\command -V command 2>&1) in
  *'is a function'* | *'shell function'*) return 1 ;;
  *builtin* | *alias*) ;;
  *) return 1 ;;
  esac
}

_zs_read_wake() { command read -r _zs_line <"$_zs_wake"; }

# Exports the event's variables, and takes the event. The context has a line for each variable, between
# two bytes 1, which keep IFS away from its ends.
_zs_receive() {
  while command read -r _zs_line; do
    _zs_line=${_zs_line#?}
    # It fails where the script has made the variable readonly.
    command export "${_zs_line%?}" || command exit 1
  done <"$_zs_context"
  _zs_take_event
}

_zs_take_event() {
  case $_zs_via in
  stdin) ;;
  *) _zs_text=$(\command -p cat "$_zs_event") || command exit ;;
  esac
}

# Notes those of the options $2… that are in $1.
_zs_note() {
  _zs_flags=$1 _zs_options=''
  command shift
  for _zs_option in "$@"; do
    case $_zs_flags in *"$_zs_option"*) _zs_options=$_zs_options$_zs_option ;; esac
  done
}

# Takes the script's options off this shell, and notes them for its functions. With -a in force an
# assignment would export.
_zs_take_off() {
  command set -- "$-"
  command set +aCefmuvx
  _zs_note "$1" a C e f u v x
}

# Puts them on again. Nothing of ours may follow in the subshell but the function: -x would show it.
_zs_put_on() {
  case $_zs_options in ?*) command set "-$_zs_options" ;; esac
}
