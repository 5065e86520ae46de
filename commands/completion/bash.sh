# Completion of pgx-dev for bash: source <(pgx-dev completion bash)
#
# "pgx-dev __complete WORD..." prints what the last word could become, one candidate and its
# description, separated by a tab, on each line, after a line that says whether names of
# files, directories or programs fit too.
_pgx_dev() {
	# Bash breaks words at = and : too; put them together again.
	local -a words=()
	local i word joined=
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if ((${#words[@]})) && [[ $joined || $word == [=:]* ]]; then
			words[${#words[@]} - 1]+=$word
		else
			words+=("$word")
		fi
		joined=
		[[ $word == [=:] && $COMP_WORDBREAKS == *"$word"* ]] && joined=yes
	done
	local cur=${words[${#words[@]} - 1]} done=
	[[ $COMP_WORDBREAKS == *=* && $cur == *=* ]] && done=${cur%"${cur##*=}"}
	[[ $COMP_WORDBREAKS == *:* && $cur == *:* ]] && done=${cur%"${cur##*:}"}

	local kind= line value
	COMPREPLY=()
	while IFS= read -r line; do
		if [[ -z $kind ]]; then
			kind=$line
			continue
		fi
		value=${line%%$'\t'*}
		[[ $value == *[=./:] ]] && compopt -o nospace 2>/dev/null
		COMPREPLY+=("$(printf '%q' "${value#"$done"}")")
	done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)

	local prefix=$cur IFS=$'\n'
	[[ $cur == -*=* ]] && prefix=${cur#*=}
	case $kind in
	:file)
		compopt -o filenames 2>/dev/null
		COMPREPLY+=($(compgen -f -- "$prefix"))
		;;
	:dir)
		compopt -o filenames 2>/dev/null
		COMPREPLY+=($(compgen -d -- "$prefix"))
		;;
	:program)
		COMPREPLY+=($(compgen -c -- "$prefix" | sort -u))
		;;
	esac
}
complete -F _pgx_dev pgx-dev
