# connected_rules FAMILY RULE... adds the rule for each network that main reaches directly.
connected_rules() {
	family=$1
	shift
	ip "$family" -o route show table main | while read -r network rest; do
		case "$network $rest " in
		default\ * | unreachable\ * | blackhole\ * | prohibit\ * | throw\ * | fe80::/* | *' via '* | *nexthop*) ;;
		*) echo "$network" ;;
		esac
	done | sort -u | while read -r network; do
		ip "$family" rule add to "$network" "$@"
	done
}
