# stale_routes FAMILY takes away the routes of protocol 112 that were not set above.
stale_routes() {
	ip "$1" -N -o route show table all proto 112 | while read -r line; do
		# shellcheck disable=SC2086 # the line is words
		set -- "$1" $line
		family=$1 type=unicast table=254 metric=0
		case $2 in
		6 | blackhole) type=blackhole; shift ;;
		7 | unreachable) type=unreachable; shift ;;
		8 | prohibit) type=prohibit; shift ;;
		9 | throw) type=throw; shift ;;
		esac
		dst=$2
		while [ $# -gt 1 ]; do
			case $1 in
			table) table=$2 ;;
			metric) metric=$2 ;;
			esac
			shift
		done
		case ${kept-} in
		*" $family/$dst/$table/$metric "*) ;;
		*) ip "$family" route del "$type" "$dst" table "$table" metric "$metric" proto 112 ;;
		esac
		set -- "$family"
	done
}
