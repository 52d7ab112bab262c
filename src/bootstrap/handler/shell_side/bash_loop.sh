# Stands in serve.sh, and serves for ever. What is in parentheses is the subshell of one event. What most
# events need is written here: bash copies the text of a function at each call.
#
# At its end a function would restore the traps that it has removed.
command trap - ERR DEBUG RETURN
_zs_look_at_functions
_zs_start_posix
_zs_number=1
# Before the trial, so that init fails where the script has disabled it.
exec </dev/null || command exit 1
while command true; do
  (
    case $_zs_number in 1) _zs_try ;; esac
    command mapfile -t -n 1 _zs_line <"$_zs_wake" || command exit 1
    case ${_zs_line-} in *go*) ;; *) command exit 1 ;; esac
    command mapfile -t _zs_pairs <"$_zs_context"
    # It fails where the script has made one of them readonly.
    command export "${_zs_pairs[@]}" || command exit 1
    case $_zs_via in
    stdin)
      command set --
      exec <"$_zs_event" >"$_zs_output"
      ;;
    *)
      _zs_text=$(<"$_zs_event")
      command set -- "$_zs_text"
      # Else the event would be in memory twice while the function runs.
      _zs_text=
      exec >"$_zs_output"
      ;;
    esac
    case $_zs_places in yes) command trap '_zs_returned=${LINENO-}' RETURN ;; esac
    # Two ways, so that after the options are put on nothing but the function runs: -x would show it,
    # and a trap of DEBUG would run for it. The first way is most scripts', and costs no call.
    case $_zs_traps$_zs_shopts in
    '')
      command set "$_zs_posix" posix ${_zs_options:+"-$_zs_options"}
      "$_zs_function" "$@"
      ;;
    *)
      _zs_put_on
      { command eval "$_zs_traps"; } 2>/dev/null
      "$_zs_function" "$@"
      ;;
    esac
  )
  command echo "$_zs_number $?" >"$_zs_status" || command exit 1
  _zs_number=$((_zs_number + 1))
done
