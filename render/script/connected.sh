# connected_rules FAMILY RULE... adds the rule for each network that main reaches directly. IPv6 routes have no
# scope: there it is the networks that the kernel knows by an address or a router's announcement.
connected_rules() {
	family=$1 direct='scope link'
	shift
	[ "$family" = -4 ] || direct='proto kernel'
	# shellcheck disable=SC2086 # two words
	ip "$family" -o route show table main $direct | while read -r network rest; do
		case "$network $rest" in
		default\ * | unreachable\ * | blackhole\ * | prohibit\ * | throw\ * | multicast\ * | fe80::/* | 127.* | ff*:* | *' via '*) ;;
		*) echo "$network" ;;
		esac
	done | sort -u | while read -r network; do
		ip "$family" rule add to "$network" "$@"
	done
}
