#compdef pgx-dev
# Completion of pgx-dev for zsh: source <(pgx-dev completion zsh), after compinit, or as a
# file called _pgx-dev in a directory of $fpath.
#
# "pgx-dev __complete WORD..." prints what the last word could become, one candidate and its
# description, separated by a tab, on each line, after a line that says whether names of
# files, directories or programs fit too.
_pgx_dev() {
	local -a lines plain open
	local kind line value
	lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	kind=$lines[1]
	for line in "${(@)lines[2,-1]}"; do
		[[ -z $line ]] && continue
		value=${line%%$'\t'*}
		line=${value//:/\\:}:${line#*$'\t'}
		if [[ $value == *[=./:] ]]; then
			open+=("$line")
		else
			plain+=("$line")
		fi
	done
	local -a flags
	[[ $PREFIX == -* ]] && flags=(-o)
	(( $#plain )) && _describe $flags 'pgx-dev' plain
	(( $#open )) && _describe $flags 'pgx-dev' open -S ''
	if [[ $PREFIX == -*=* ]]; then
		compset -P '*='
	fi
	case $kind in
	:file) _files ;;
	:dir) _files -/ ;;
	:program) _command_names ;;
	esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_pgx_dev "$@"
else
	compdef _pgx_dev pgx-dev
fi
