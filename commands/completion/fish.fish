# Completion of pgx-dev for fish: pgx-dev completion fish | source
#
# "pgx-dev __complete WORD..." prints what the last word could become, one candidate and its
# description, separated by a tab, on each line, after a line that says whether names of
# files, directories or programs fit too.
function __pgx_dev_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)
    set -l kind $lines[1]
    for line in $lines[2..-1]
        echo $line
    end
    set -l flag ''
    set -l prefix (commandline -ct)
    if string match -qr -- '^-[^=]*=' $prefix
        set flag (string replace -r -- '=.*' '=' $prefix)
        set prefix (string replace -r -- '^[^=]*=' '' $prefix)
    end
    switch $kind
        case :file
            for path in (__fish_complete_path $prefix)
                echo $flag$path
            end
        case :dir
            for path in (__fish_complete_directories $prefix '')
                echo $flag$path
            end
        case :program
            __fish_complete_command
    end
end
complete -c pgx-dev -e
complete -c pgx-dev -f -a '(__pgx_dev_complete)'
