# What ksh93 and mksh need, besides: they read a file without a process.

_zs_has() { command typeset -f "$1" >/dev/null; }

# A time limit of three years keeps TMOUT away.
_zs_read_wake() { command read -r -t 99999999 _zs_line <"$_zs_wake"; }

_zs_take_event() {
  case $_zs_via in stdin) ;; *) _zs_text=$(<"$_zs_event") ;; esac
}

_zs_take_off() {
  command set -- "$-"
  command set +aCefmuvx
  command trap - ERR DEBUG
  _zs_note "$1" a C e f u v x
}
