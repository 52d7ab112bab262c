# What runs the hooks of SnapStart; it is left out where there are none.

# Runs the hooks, each when it is woken, in this shell itself and as the script left it.
_zs_run_hooks() {
  _zs_report sourced
  _zs_run_hook "$_zs_first_hook"
  case $_zs_second_hook in ?*) _zs_run_hook "$_zs_second_hook" ;; esac
}

_zs_run_hook() {
  (_zs_wait) || command exit 1
  if _zs_has "$1"; then
    _zs_put_on
    "$1"
    { _zs_take_off; } 2>/dev/null
  fi
  _zs_report hooked
}
