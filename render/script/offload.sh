devices=''

# links prints the interfaces, a line each, with the word "port" where it is one of another interface's, as a bridge's.
links() {
	ip -o link show | while read -r _ link rest; do
		link=${link%:}
		case " $rest" in
		*' master '*) echo "${link%@*} port" ;;
		*) echo "${link%@*}" ;;
		esac
	done
}

# offload_device DEVICE adds an interface to those that are offloaded.
offload_device() {
	case ", $devices, " in
	*", \"$1\", "*) ;;
	*) devices="${devices:+$devices, }\"$1\"" ;;
	esac
}

# offload_named DEVICE... adds those that exist; a name may end in an asterisk.
offload_named() {
	for link in $(links | sed 's/ port$//'); do
		for pattern; do
			# shellcheck disable=SC2254 # it is a pattern
			case $link in
			$pattern) offload_device "$link" ;;
			esac
		done
	done
}

# offload_others DEVICE... adds those with global addresses, but for the ones named, loopback and ports.
offload_others() {
	addressed=" $(ip -o addr show scope global | while read -r _ link _; do printf '%s ' "$link"; done)"
	for link in $(links | sed '/ port$/d'); do
		case " lo $* " in
		*" $link "*) continue ;;
		esac
		case $addressed in
		*" $link "*) offload_device "$link" ;;
		esac
	done
}

# need_flowtables ends the script where the kernel has no flowtables, which it asks by a transaction that nft breaks off.
need_flowtables() {
	why=$(nft -c 'table inet pbr-probe { flowtable flows { hook ingress priority filter; }; chain forward { flow add @flows; }; }' 2>&1) || {
		say "offload is required, and this kernel has no flowtables: install or load the modules nf_flow_table_inet and" \
			"nft_flow_offload, or leave required out; nothing is changed ($(printf '%s\n' "$why" | sed -n 1p))"
		exit 1
	}
}

# offload reads what nft is to add, with "/" in the place of the interfaces.
offload() {
	why=$(offload_required 2>&1) ||
		say "offload left out: the kernel may lack the modules nf_flow_table_inet and nft_flow_offload ($(printf '%s\n' "$why" | sed -n 1p))"
}

# offload_required is offload where a kernel that cannot is an error.
offload_required() {
	while IFS= read -r line; do
		case $line in
		*'{ "/" }') line=${devices:+"devices = { $devices }"} ;;
		esac
		printf '%s\n' "$line"
	done | nft -f -
}
