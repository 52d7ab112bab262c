# Runs the hooks of SnapStart, each when it is woken, in this shell itself and as the script left it. It
# is left out where there are none. It is no function, since in one the script's trap of ERR is lost.
_zs_report sourced
for _zs_hook in "$_zs_first_hook" "$_zs_second_hook"; do
  if command test -n "$_zs_hook"; then
    (_zs_wait) || command exit 1
    if _zs_has "$_zs_hook"; then
      _zs_put_on
      "$_zs_hook"
      { _zs_take_off; } 2>/dev/null
    fi
    _zs_report hooked
  fi
done
