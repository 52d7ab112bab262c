# Stands in serve.sh, and serves for ever. What is in parentheses is the subshell of one event.
_zs_number=1
while command true; do
  (
    case $_zs_number in
    1)
      _zs_wait || command exit 1
      _zs_receive
      case ${LAMBDA_RUNTIME_AWS_REQUEST_ID-} in trial) ;; *) command exit 1 ;; esac
      _zs_report '0 0'
      ;;
    esac
    _zs_wait || command exit 1
    _zs_receive
    case $_zs_via in
    stdin)
      command set --
      exec <"$_zs_event" >"$_zs_output"
      ;;
    *)
      command set -- "$_zs_text"
      # Else the event would be in memory twice while the function runs.
      _zs_text=
      exec </dev/null >"$_zs_output"
      ;;
    esac
    _zs_put_on
    "$_zs_function" "$@"
  )
  _zs_report "$_zs_number $?"
  _zs_number=$((_zs_number + 1))
done
