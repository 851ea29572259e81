# bash completion for postlane(1).

# Lanes of master.cf; the words are those of the command line so far.
_postlane_lanes() {
	local i config=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} != -c ]] || config=(-c "${COMP_WORDS[i + 1]}")
	done
	postconf "${config[@]}" -M 2>/dev/null |
	    awk '$8 ~ /(^|\/)lane$/ && $9 != "token" { print $1 }'
}

# What it does is said in the lines below a verb, which are indented.
_postlane_verbs() {
	postlane help 2>/dev/null |
	    awk '/^  / && verb != "" { print verb }
		{ verb = $0 ~ /^[a-z]+( |$)/ ? $1 : "" }'
}

_postlane_providers() {
	local file
	for file in /usr/share/postlane/providers/*.conf; do
		file=${file##*/}
		[[ $file == general.conf ]] || printf '%s\n' "${file%.conf}"
	done
}

_postlane_queue_ids() {
	postqueue -j 2>/dev/null | head -n 200 |
	    sed -n 's/.*"queue_id": *"\([^"]*\)".*/\1/p'
}

_postlane() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verb='' at=0 i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-[cow] | --for | --until | --to | --count | --name | --provider | --tls) i=$((i + 1)) ;;
		-*) ;;
		*) if [[ -z $verb ]]; then verb=${COMP_WORDS[i]}; else at=$((at + 1)); fi ;;
		esac
	done
	case $prev in
	-c)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	-w)
		mapfile -t COMPREPLY < <(compgen -W '1 2 5 10 60' -- "$cur")
		return
		;;
	--for)
		mapfile -t COMPREPLY < <(compgen -W '10m 30m 1h 4h 1d' -- "$cur")
		return
		;;
	--until)
		mapfile -t COMPREPLY < <(compgen -W '08:00 12:00 18:00' -- "$cur")
		return
		;;
	--provider)
		mapfile -t COMPREPLY < <(compgen -W "none $(_postlane_providers)" -- "$cur")
		return
		;;
	--tls)
		mapfile -t COMPREPLY < <(compgen -W 'none may encrypt verify secure' -- "$cur")
		return
		;;
	-o | --to | --count | --name)
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		local options='-c -h -j -q -w -V'
		case $verb in
		pause | drain | rate | connections) options+=' --for --until' ;;
		trace) options+=' --to --count' ;;
		replay) options+=' -o' ;;
		setup) options+=' --provider --no-login --tls --name --apply --undo' ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case $verb:$at in
	:0 | help:0)
		mapfile -t COMPREPLY < <(compgen -W "$(_postlane_verbs)" -- "$cur")
		;;
	status:0 | sessions:0 | forecast:0 | trace:0 | pause:0 | drain:0 | resume:0 | \
	    rate:0 | connections:0 | retry:0 | probe:0 | pause:1 | resume:1 | replay:1)
		mapfile -t COMPREPLY < <(compgen -W "$(_postlane_lanes)" -- "$cur")
		;;
	rate:1)
		mapfile -t COMPREPLY < <(compgen -W 'default 50%' -- "$cur")
		;;
	connections:1)
		mapfile -t COMPREPLY < <(compgen -W default -- "$cur")
		;;
	fleet:0)
		mapfile -t COMPREPLY < <(compgen -W forget -- "$cur")
		;;
	why:0)
		mapfile -t COMPREPLY < <(compgen -W "$(_postlane_queue_ids)" -- "$cur")
		;;
	replay:0)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	esac
}

complete -o filenames -F _postlane postlane
