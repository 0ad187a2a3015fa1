# Writes the file IN as a C array NAME (and NAME_len) to OUT; HEADER declares both.
file(READ "${IN}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],)"
       "    \\1\n" bytes "${bytes}")
file(WRITE "${OUT}" "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n${bytes}\n};\nconst size_t ${NAME}_len = sizeof(${NAME});\n")
