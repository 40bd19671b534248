// The names that the shared library accepts and rejects: groovy -cp src test/ImagesTest.groovy
import ims.Images

String commit = '0123456789abcdef0123456789abcdef01234567'

assert Images.tagObjection(commit) == ''
[null, '', 'latest', 'v1.2.3', commit.take(12), commit.toUpperCase(), commit + '0', commit.take(39) + '\n',
 commit + '\n', commit.take(38) + ';a', commit.take(36) + '$(a)'].each { tag ->
    assert Images.tagObjection(tag).startsWith('TAG must be the full commit id')
    assert Images.tagObjection(tag).endsWith("it is '${tag ?: ''}'")
}

['registry.example.org', 'registry.example.org:5000', 'registry.example.org/team', '10.0.0.7:5000/a/b_c-d.e'].each {
    assert Images.registryObjection(it) == ''
}
[null, '', 'https://registry.example.org', 'registry.example.org/', 'registry.example.org//a', 'Registry.example.org',
 'registry.example.org a', 'registry.example.org:port', '-registry', 'user@registry.example.org', 'a;b', "a\n"].each {
    assert Images.registryObjection(it).startsWith('IMS_REGISTRY must be a host')
}

// Jenkins serializes the state of a build when it restarts, and must be able to read it again.
ByteArrayOutputStream bytes = new ByteArrayOutputStream()
new ObjectOutputStream(bytes).writeObject(new Images())
new ByteArrayInputStream(bytes.toByteArray()).withObjectInputStream(Images.classLoader) { stream ->
    assert stream.readObject() instanceof Images
}

println 'ok'
